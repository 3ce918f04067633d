"""modelscan as one voice beside ours, file by file."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

from governance.context import RunContext
from governance.errors import PrerequisiteError
from governance.evidence import Confidence, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition
from scanners._formats.kinds import kind_of

_SEVERITY = {"CRITICAL": Severity.CRITICAL, "HIGH": Severity.HIGH, "MEDIUM": Severity.MEDIUM, "LOW": Severity.LOW}
#: Kinds modelscan 0.8 has a scanner for, by our typing.
_ITS_KINDS = frozenset({"pickle", "torch-zip", "zip", "hdf5", "numpy"})
#: Suffixes it recognises; it decides by suffix, not by content.
_ITS_SUFFIXES = (
    ".pkl",
    ".pickle",
    ".joblib",
    ".dill",
    ".dat",
    ".data",
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".npy",
    ".h5",
    ".keras",
    ".zip",
    ".npz",
)


class ModelScan:
    """Runs modelscan over each file it could read.

    Detects:
        What modelscan detects: dangerous operators in pickles, PyTorch archives and Keras models.

    Why it matters:
        It is the scanner most gates run today; its hit is shown and judged even where ours sees nothing.

    Misses:
        Kinds it never claims (safetensors, JSON, text). A raw pickle that its suffix rules pass over is reported as skipped,
        and the check is then partial although our own opcode walk has read the file.

    Source:
        modelscan 0.8 (Protect AI).
    """

    id = "modelscan"
    version = "1"
    declares = (
        Rule(
            id="modelscan-issue",
            summary="modelscan reports an unsafe operator",
            severity=Severity.CRITICAL,
            references=("CWE-502",),
        ),
    )

    def wants(self, composition: Composition) -> bool:
        """Return whether a file might be of a kind it reads."""
        return any(f.path.lower().endswith(_ITS_SUFFIXES) for f in composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield its issues, and what it made of each file."""
        for entry in composition.adapter.files:
            if not entry.path.lower().endswith(_ITS_SUFFIXES) or not entry.present:
                continue
            path = ctx.store.path(composition.adapter, entry.path)
            kind = kind_of(path).id
            if kind not in _ITS_KINDS:
                yield Coverage(item=entry.path, outcome=Outcome.NOT_APPLICABLE, reason=f"{kind}: not its format")
                continue
            yield from _one(path, entry.path)


def _one(path: Path, name: str) -> Iterator[Fact | Coverage]:
    try:
        from modelscan.modelscan import ModelScan as Engine
        from modelscan.settings import DEFAULT_SETTINGS
    except ImportError as error:
        raise PrerequisiteError("modelscan is not installed", hint="pip install modelscan") from error
    engine = Engine(settings=copy.deepcopy(DEFAULT_SETTINGS))
    try:
        result = engine.scan(path.resolve())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, EOFError) as error:
        yield Coverage(item=name, outcome=Outcome.FAILED, reason=f"modelscan failed: {type(error).__name__}: {error}"[:300])
        return
    issues = result.get("issues", [])
    for issue in issues:
        operator = ".".join(filter(None, (str(issue.get("module", "")), str(issue.get("operator", "")))))
        yield Finding(
            rule="modelscan-issue",
            severity=_SEVERITY.get(str(issue.get("severity")), Severity.HIGH),
            confidence=Confidence.MEDIUM,
            message=f"{name}: modelscan reports {operator or issue.get('description', 'an issue')}"[:500],
            locations=(Location(path=name),),
            remediation="never load this file; ask for safetensors",
            references=("CWE-502",),
        )
    errors = [str(e.get("description", e)) for e in result.get("errors", [])]
    skipped = [
        s
        for s in result.get("summary", {}).get("skipped", {}).get("skipped_files", [])
        if _should_have_read(str(s.get("source", "")))
    ]
    if errors:
        yield Coverage(item=name, outcome=Outcome.FAILED, reason=f"modelscan: {errors[0]}"[:300])
    elif skipped and not issues:
        why = str(skipped[0].get("description", ""))
        yield Coverage(item=name, outcome=Outcome.SKIPPED, reason=f"modelscan skipped it: {why}"[:300])
    else:
        yield Coverage(item=name, outcome=Outcome.COMPLETED, reason=f"{len(issues)} issue(s)")


def _should_have_read(source: str) -> bool:
    """Return whether what it skipped is the file itself or a pickle in it; storages and version marks are no gap."""
    _, inside, member = source.partition(":")
    return not inside or member.lower().endswith((".pkl", ".pickle", ".npy"))


PLUGIN = ModelScan()
