"""picklescan, asked about each pickle and archive when it is switched on; its verdict is shown beside ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from governance.context import RunContext
from governance.evidence import Coverage, Fact, Severity
from governance.subject import Composition
from scanners._formats.tree import Content
from scanners._formats.voices import Answer, Issue, declared, listen, run

_KINDS = frozenset({"pickle", "torch-zip", "torchscript", "zip", "numpy", "7z"})
_DANGEROUS = re.compile(r"dangerous import '([^']{1,300})' FOUND")
_SCANNED = re.compile(r"^Scanned files: (\d+)", re.MULTILINE)


class Picklescan:
    """Runs picklescan over each file it could read.

    Detects:
        What picklescan detects: imports on its list of dangerous names, in pickles and in the archives it opens.

    Why it matters:
        It is the scanner of a large model hub; a second opinion costs little.

    Misses:
        Names outside its list; members under suffixes it does not know. It is off unless it is switched on.

    Source:
        picklescan 1.0 (MIT), run as a process of its own.
    """

    id = "picklescan"
    engine = "picklescan"
    version = "1"
    declares = declared("picklescan")

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file: what kind it is, its content tells."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield its issues, and what it made of each file."""
        yield from listen(self, composition, ctx, reads=_reads, start=lambda: _ask)


def _reads(content: Content) -> bool:
    return content.kind in _KINDS


def _ask(path: Path) -> Answer:
    done = run("picklescan", ["-p", str(path.absolute())], package="picklescan", extra="picklescan")
    if done is None:
        return Answer(failed="it took too long")
    said = done.stdout.decode("utf-8", "replace") + done.stderr.decode("utf-8", "replace")
    names = dict.fromkeys(_DANGEROUS.findall(said))
    if names or done.returncode == 1:
        words = [f"the dangerous import {name!a}" for name in names] or ["a dangerous import"]
        return Answer(issues=tuple(Issue(Severity.CRITICAL, w) for w in words))
    if done.returncode != 0:
        return Answer(failed=f"exit code {done.returncode}")
    scanned = _SCANNED.search(said)
    return Answer(skipped="a format or suffix it passes over") if scanned is None or scanned.group(1) == "0" else Answer()


PLUGIN = Picklescan()
