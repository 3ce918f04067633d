"""modelscan as one voice beside ours, file by file."""

from __future__ import annotations

import copy
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from governance.context import RunContext
from governance.errors import PrerequisiteError
from governance.evidence import Confidence, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition
from scanners._formats.kind_table import words_of
from scanners._formats.tree import content

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
    version = "2"
    declares = (
        Rule(
            id="modelscan-issue",
            summary="modelscan reports an unsafe operator",
            severity=Severity.CRITICAL,
            references=("CWE-502",),
        ),
    )

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file: what kind it is, its content tells."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield its issues, and what it made of each file."""
        engine: Callable[[Path], _Result] | None = None
        for entry in composition.adapter.files:
            ctx.checkpoint()
            if not entry.present:
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
                continue
            path = ctx.path(composition.adapter, entry.path)
            kind = content(composition.adapter, entry, ctx).kind
            if kind not in _ITS_KINDS and not (kind == "protobuf" and path.suffix == ".pb"):
                yield Coverage(
                    item=entry.path, outcome=Outcome.NOT_APPLICABLE, reason=f"{words_of(kind)}: not a format of modelscan"
                )
                continue
            engine = engine or _engine()
            yield from _one(engine, path, entry.path)


def _engine() -> Callable[[Path], _Result]:
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
    return scan


def _one(scan: Callable[[Path], _Result], path: Path, name: str) -> Iterator[Fact | Coverage]:
    try:
        result = scan(path.absolute())
    except _CRASHES as error:
        words = f"modelscan failed: {type(error).__name__}: {error}"
        yield Coverage(item=name, outcome=Outcome.FAILED, reason=_short(words, path))
        return
    issues = _rows(result, "issues")
    for issue in sorted(issues, key=lambda i: sorted(f"{k}={v}" for k, v in i.items())):
        yield _finding(issue, name)
    errors = [_text(e, "description") or str(e) for e in _rows(result, "errors")]
    skipped = [s for s in _rows(result, "summary", "skipped", "skipped_files") if _should_have_read(_text(s, "source"))]
    if errors:
        yield Coverage(item=name, outcome=Outcome.FAILED, reason=_short(f"modelscan failed: {errors[0]}", path))
    elif skipped:
        why = f"{_text(skipped[0], 'description')} ({_text(skipped[0], 'category')})"
        yield Coverage(item=name, outcome=Outcome.SKIPPED, reason=_short(f"modelscan skipped it: {why}", path))
    else:
        yield Coverage(item=name, outcome=Outcome.COMPLETED, reason=f"issues ({len(issues)})" if issues else "clean")


def _finding(issue: Mapping[str, object], name: str) -> Finding:
    operator = ".".join(filter(None, (_text(issue, "module"), _text(issue, "operator")))) or _text(issue, "description")
    _, _, member = _text(issue, "source").partition(":")
    return Finding(
        rule="modelscan-issue",
        severity=_SEVERITY.get(_text(issue, "severity"), Severity.HIGH),
        confidence=Confidence.MEDIUM,
        message=f"{name}: modelscan reports the unsafe operator {operator!a}"[:500],
        locations=(Location(path=name, entry=(member,) if member else ()),),
        remediation="do not load this file; ask the publisher for safetensors",
        references=("CWE-502",),
        evidence={"scanner": _text(issue, "scanner")},
    )


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
