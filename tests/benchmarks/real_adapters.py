"""Inspect every adapter below a folder and print what came of each.

    python -m tests.benchmarks.real_adapters FOLDER [--csv FILE]

Adapters are folders that hold weights or a configuration; nothing is loaded, only read.
"""

from __future__ import annotations

import argparse
import collections
import csv
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from api.curator import Curator
from api.logs import configure
from api.references import parse_reference
from api.settings import Settings
from governance.errors import CuratorError
from governance.subject import CompositionRef

COLUMNS = ("adapter", "decision", "above low", "findings", "not checked", "seconds")


def adapters(folder: Path) -> Iterator[Path]:
    """Yield every folder that holds an adapter's configuration, or a repository's root if none does."""
    for repository in sorted(p for p in folder.iterdir() if p.is_dir()):
        found = sorted({p.parent for p in repository.rglob("adapter_config.json")})
        yield from found or [repository]


def outcome(curator: Curator, folder: Path) -> tuple[str, str, str, str]:
    """Inspect one adapter; return decision, rules above low, number of findings, and what was not checked."""
    try:
        card = curator.audit(CompositionRef(adapter=parse_reference(str(folder))), stage="inspect")
    except CuratorError as error:
        return f"error: {error.message[:80]}", "", "", ""
    grave = sorted({f.rule for f in card.dossier.findings if f.severity.rank >= 2})
    open_checks = sorted(f"{c.id}={c.outcome.value}" for c in card.dossier.checks if not c.outcome.checked)
    return card.verdict.decision.value, " ".join(grave), str(len(card.dossier.findings)), " ".join(open_checks)


def main() -> int:
    """Print one row for each adapter, then the totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--csv", type=Path)
    asked = parser.parse_args()
    configure("warning")
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as home, Curator(Settings(home=Path(home), offline=True)) as curator:
        for folder in adapters(asked.folder):
            start = time.monotonic()
            row = (str(folder.relative_to(asked.folder)), *outcome(curator, folder), f"{time.monotonic() - start:.1f}")
            rows.append(row)
            print("\t".join(row), flush=True)
    totals = collections.Counter(r[1].split(":")[0] for r in rows)
    print(f"{len(rows)} adapters: " + ", ".join(f"{v} {k}" for k, v in sorted(totals.items())))
    if asked.csv:
        with asked.csv.open("w", newline="") as out:
            csv.writer(out).writerows([COLUMNS, *rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
