"""How another scanner is asked, and how its words are set beside our own reading. Read by the plug-ins that are such a voice.

A voice never replaces our reading: what it skips is its own gap, what it reports is kept whatever we think, and where the two
differ both are shown. It is handed single files of our inventory, so that it follows no link and walks no folder.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from governance.context import RunContext
from governance.contracts import Declared, Voice
from governance.errors import PrerequisiteError
from governance.evidence import Confidence, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition, Held
from scanners._formats.kind_table import words_of
from scanners._formats.names import shown
from scanners._formats.pickles.review import review
from scanners._formats.tree import Content, contents

_SECONDS = 60
_MOST_OUTPUT = 8 << 20


@dataclass(frozen=True)
class Issue:
    """One thing another engine reports of a file."""

    severity: Severity
    words: str
    member: str = ""


@dataclass(frozen=True)
class Answer:
    """What an engine makes of one file.

    Attributes:
        issues: What it reports; empty is its word for clean.
        skipped: Why it did not read the file, or None.
        failed: How it failed, or None.
    """

    issues: tuple[Issue, ...] = ()
    skipped: str | None = None
    failed: str | None = None


#: Asks an engine about one file.
Engine = Callable[[Path], Answer]


def declared(engine: str) -> Sequence[Declared]:
    """Return the two rules of a voice: what it reports, and where it differs from our reading."""
    return (
        Rule(
            id=f"{engine}-issue",
            summary=f"{engine} reports an unsafe operator",
            severity=Severity.CRITICAL,
            references=("CWE-502",),
        ),
        Rule(id=f"{engine}-disagrees", summary=f"{engine} and our own reading differ", severity=Severity.INFO),
    )


def listen(
    voice: Voice, composition: Composition, ctx: RunContext, *, reads: Callable[[Content], bool], start: Callable[[], Engine]
) -> Iterator[Fact | Coverage]:
    """Yield what another engine says of each file, and where it differs from our reading.

    Args:
        voice: The plug-in.
        composition: Its adapter is asked about.
        ctx: Opens files.
        reads: Whether the engine claims a file; of the others it is not asked.
        start: Makes the engine, once there is something to ask.

    Raises:
        PrerequisiteError: The engine is not installed.
    """
    engine: Engine | None = None
    for entry, root in contents(composition, ctx):
        if root is None:
            yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
        elif not reads(root):
            reason = f"{words_of(root.kind)}: not a format of {voice.engine}"
            yield Coverage(item=entry.path, outcome=Outcome.NOT_APPLICABLE, reason=reason)
        elif composition.adapter.held is Held.RANGES:
            yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason=f"{voice.engine} needs the whole file")
        else:
            engine = engine or start()
            yield from _told(voice.engine, engine(ctx.path(composition.adapter, entry.path)), root, ctx)


def _told(name: str, answer: Answer, root: Content, ctx: RunContext) -> Iterator[Fact | Coverage]:
    for issue in sorted(answer.issues, key=lambda i: (-i.severity.rank, i.words, i.member)):
        yield Finding(
            rule=f"{name}-issue",
            severity=issue.severity,
            confidence=Confidence.MEDIUM,
            message=f"{root}: {name} reports {issue.words}"[:500],
            locations=(Location(path=shown(root.path), entry=(shown(issue.member),) if issue.member else ()),),
            remediation="do not load this file; ask the publisher for safetensors",
            references=("CWE-502",),
        )
    if answer.failed is not None:
        yield Coverage(item=root.path, outcome=Outcome.FAILED, reason=f"{name} failed: {answer.failed}"[:300])
    elif answer.skipped is not None:
        yield Coverage(item=root.path, outcome=Outcome.SKIPPED, reason=f"{name} skipped it: {answer.skipped}"[:300])
    else:
        words = f"issues ({len(answer.issues)})" if answer.issues else "clean"
        yield Coverage(item=root.path, outcome=Outcome.COMPLETED, reason=words)
        yield from _compared(name, answer, root, ctx)


def _compared(name: str, answer: Answer, root: Content, ctx: RunContext) -> Iterator[Finding]:
    theirs = max((i.severity.rank for i in answer.issues), default=0)
    ours = _own_reading(root, ctx.limits.pickle_opcodes)
    if (theirs >= Severity.HIGH.rank) == (ours >= Severity.HIGH.rank):
        return
    words = f"{name} reports what our own reading does not" if theirs > ours else f"{name} calls it clean, our own reading does not"
    yield Finding(
        rule=f"{name}-disagrees",
        severity=Severity.INFO,
        message=f"{root}: {words}; both are shown",
        locations=(root.location(),),
        remediation="read both; the graver one counts",
    )


@lru_cache(maxsize=512)
def _own_reading(root: Content, opcodes: int) -> int:
    """Return the rank of the gravest thing our own walk says of the pickles of a file."""
    worst = 0
    for inner in root.walk():
        data = inner.read(64 << 20) if inner.kind == "pickle" else None
        if data is not None:
            worst = max((r.severity.rank for r in review(data, limit=opcodes, by_product=False).remarks), default=worst)
    return worst


def run(module: str, arguments: Sequence[str], *, package: str, extra: str) -> subprocess.CompletedProcess[bytes] | None:
    """Run an engine's own command line in a process of its own, cut off as this one is.

    Args:
        module: Started with ``python -m``.
        arguments: Of its command line.
        package: That must be installed.
        extra: The extra of this distribution that installs it.

    Returns:
        What it said; None if it took too long.

    Raises:
        PrerequisiteError: It is not installed.
    """
    if find_spec(package) is None:
        raise PrerequisiteError(f"{package} is not installed", hint=f"pip install 'model-curator[{extra}]'")
    command = [sys.executable, "-I", "-m", module, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return None
    return subprocess.CompletedProcess(command, done.returncode, done.stdout[:_MOST_OUTPUT], done.stderr[:_MOST_OUTPUT])
