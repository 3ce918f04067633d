"""fickling, asked about each pickle when it is switched on; its verdict is shown beside ours."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from governance.context import RunContext
from governance.evidence import Coverage, Fact, Severity
from governance.subject import Composition
from scanners._formats.tree import Content
from scanners._formats.voices import Answer, Issue, declared, listen, run

_SEVERITY = {
    "LIKELY_OVERTLY_MALICIOUS": Severity.CRITICAL, "OVERTLY_MALICIOUS": Severity.CRITICAL, "LIKELY_UNSAFE": Severity.HIGH,
    "SUSPICIOUS": Severity.MEDIUM, "POSSIBLY_UNSAFE": Severity.LOW,
}  # fmt: skip


class Fickling:
    """Runs fickling over each raw pickle.

    Detects:
        What fickling detects: imports and calls outside those it holds for harmless, by decompiling the pickle.

    Why it matters:
        Its decompiler sees what a pickle does; where ours and its readings differ, somebody should look.

    Misses:
        Archives: only raw pickles are handed to it. It calls most torch and numpy imports unsafe, so its word alone is no
        gate. It is off unless it is switched on.

    Source:
        fickling 0.1 (LGPL-3.0), run as a process of its own.
    """

    id = "fickling"
    engine = "fickling"
    version = "1"
    declares = declared("fickling")

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file: what kind it is, its content tells."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield its issues, and what it made of each file."""
        yield from listen(self, composition, ctx, reads=_reads, start=lambda: _ask)


def _reads(content: Content) -> bool:
    return content.kind == "pickle"


def _ask(path: Path) -> Answer:
    handle, name = tempfile.mkstemp(suffix=".json")
    os.close(handle)
    written = Path(name)
    try:
        asked = ["--check-safety", str(path.absolute()), "--json-output", name]
        done = run("fickling", asked, package="fickling", extra="fickling")
        said = written.read_bytes() if done is not None else b""
    finally:
        written.unlink(missing_ok=True)
    if done is None:
        return Answer(failed="it took too long")
    try:
        verdict = json.loads(said)
    except ValueError:
        return Answer(failed=f"exit code {done.returncode} without a report")
    if not isinstance(verdict, dict):
        return Answer(failed="its report has an unknown form")
    severity = _SEVERITY.get(str(verdict.get("severity")))
    lines = str(verdict.get("analysis", "")).splitlines()
    return (
        Answer() if severity is None else Answer(issues=(Issue(severity, ascii(lines[0] if lines else verdict["severity"])[:300]),))
    )


PLUGIN = Fickling()
