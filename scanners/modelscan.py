"""modelscan as one voice beside ours, file by file."""

from __future__ import annotations

import copy
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from governance.context import RunContext
from governance.errors import PrerequisiteError
from governance.evidence import Coverage, Fact, Severity
from governance.subject import Composition
from scanners._formats.tree import Content
from scanners._formats.voices import Answer, Engine, Issue, declared, listen

_SEVERITY = {"CRITICAL": Severity.CRITICAL, "HIGH": Severity.HIGH, "MEDIUM": Severity.MEDIUM, "LOW": Severity.LOW}
#: Kinds modelscan 0.8 has a scanner for, by our typing of the content: of these it should have read every file.
_ITS_KINDS = frozenset({"pickle", "torch-zip", "torchscript", "zip", "keras", "hdf5", "numpy"})
_PICKLES = (".pkl", ".pickle", ".npy", ".joblib", ".dill")
#: What its parsers raise on hostile bytes.
_CRASHES = (
    OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, EOFError, AssertionError, ArithmeticError,
    MemoryError, struct.error, zlib.error,
)  # fmt: skip

_Result = Mapping[str, object]


class ModelScan:
    """Runs modelscan over each file it could read.

    Detects:
        What modelscan detects: dangerous operators in pickles, PyTorch archives and Keras models.

    Why it matters:
        It is the scanner most gates run today; its hit is shown and judged even where ours sees nothing.

    Misses:
        Kinds it never claims (safetensors, JSON, text) are not applicable. A raw pickle that its suffix rules pass over is
        reported as skipped, and the check is then partial although our own opcode walk has read the file. It reads one pickle
        of a file, and of an archive those members whose suffix it knows.

    Source:
        modelscan 0.8 (Protect AI), run offline and without TensorFlow.
    """

    id = "modelscan"
    engine = "modelscan"
    version = "3"
    declares = declared("modelscan")

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file: what kind it is, its content tells."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield its issues, and what it made of each file."""
        yield from listen(self, composition, ctx, reads=_reads, start=_engine)


def _reads(content: Content) -> bool:
    return content.kind in _ITS_KINDS or (content.kind in ("protobuf", "tensorflow") and content.suffix == ".pb")


def _engine() -> Engine:
    """Return modelscan's own scan.

    Raises:
        PrerequisiteError: It is not installed.
    """
    try:
        from modelscan.modelscan import ModelScan as Engine
        from modelscan.settings import DEFAULT_SETTINGS
    except ImportError as error:
        raise PrerequisiteError("modelscan is not installed", hint="pip install modelscan") from error
    scan: Callable[[Path], _Result] = Engine(settings=copy.deepcopy(DEFAULT_SETTINGS)).scan
    return lambda path: _ask(scan, path)


def _ask(scan: Callable[[Path], _Result], path: Path) -> Answer:
    try:
        result = scan(path.absolute())
    except _CRASHES as error:
        return Answer(failed=_short(f"{type(error).__name__}: {error}", path))
    issues = tuple(map(_issue, _rows(result, "issues")))
    errors = [_text(e, "description") or str(e) for e in _rows(result, "errors")]
    skipped = [s for s in _rows(result, "summary", "skipped", "skipped_files") if _should_have_read(_text(s, "source"))]
    if errors:
        return Answer(issues, failed=_short(errors[0], path))
    if skipped:
        return Answer(issues, skipped=_short(f"{_text(skipped[0], 'description')} ({_text(skipped[0], 'category')})", path))
    return Answer(issues)


def _issue(row: Mapping[str, object]) -> Issue:
    operator = ".".join(filter(None, (_text(row, "module"), _text(row, "operator")))) or _text(row, "description")
    _, _, member = _text(row, "source").partition(":")
    return Issue(_SEVERITY.get(_text(row, "severity"), Severity.HIGH), f"the unsafe operator {operator!a}", member)


def _should_have_read(source: str) -> bool:
    """Return whether what it skipped is the file itself or a pickle in it; storages and version marks are no gap."""
    _, inside, member = source.partition(":")
    return not inside or member.lower().endswith(_PICKLES)


def _rows(result: _Result, *keys: str) -> list[Mapping[str, object]]:
    """Return the list under these keys; anything else is an empty one."""
    value: object = result
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def _text(row: Mapping[str, object], key: str) -> str:
    value = row.get(key)
    return str(value) if value is not None else ""


def _short(words: str, path: Path) -> str:
    """Return its words without the place on this machine, so that they are the same everywhere."""
    return " ".join(words.replace(str(path.absolute().parent) + "/", "").split())[:300]


PLUGIN = ModelScan()
