"""modelaudit, asked about each file when it is switched on; its verdict is shown beside ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from governance.context import RunContext
from governance.evidence import Coverage, Fact, Severity
from governance.subject import Composition
from scanners._formats.kind_table import kind_rows
from scanners._formats.tree import Content
from scanners._formats.voices import Answer, Issue, declared, listen, run

_SEVERITY = {"critical": Severity.CRITICAL, "warning": Severity.MEDIUM, "error": Severity.HIGH}


class Modelaudit:
    """Runs modelaudit over each file that is no plain text.

    Detects:
        What modelaudit detects: pickles, archives, Keras, ONNX, GGUF, templates and more.

    Why it matters:
        It is the widest open scanner beside this one.

    Misses:
        Its verdict depends on what is installed beside it. It is off unless it is switched on.

    Source:
        modelaudit 0.2 (MIT), run as a process of its own, telemetry off.
    """

    id = "modelaudit"
    engine = "modelaudit"
    version = "1"
    declares = declared("modelaudit")

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file: what kind it is, its content tells."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield its issues, and what it made of each file."""
        yield from listen(self, composition, ctx, reads=_reads, start=lambda: _ask)


def _reads(content: Content) -> bool:
    row = kind_rows()[content.kind]
    return not row.text and content.kind not in ("empty", "lfs-pointer") and row.reader != "harmless"


def _ask(path: Path) -> Answer:
    asked = ["scan", str(path.absolute()), "--format", "json"]
    done = run("modelaudit.cli", asked, package="modelaudit", extra="modelaudit")
    if done is None:
        return Answer(failed="it took too long")
    try:
        said = json.loads(done.stdout)
    except ValueError:
        return Answer(failed=f"exit code {done.returncode} without a report")
    rows = said.get("issues") if isinstance(said, dict) else None
    issues = [r for r in rows if isinstance(r, dict)] if isinstance(rows, list) else []
    found = [Issue(s, ascii(str(r.get("message")))[:300]) for r in issues if (s := _SEVERITY.get(str(r.get("severity"))))]
    return Answer(issues=tuple(found))


PLUGIN = Modelaudit()
