"""Audit the three demo adapters offline, as a user would, and show the three verdicts.

python -m tests.demo.run --base FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ADAPTERS = Path(__file__).parent / "adapters"
REPORTS = (("json", ".json"), ("html", ".html"), ("cyclonedx", ".cdx.json"))
#: Folder, what it is, and the exit code a sound audit gives.
CASES = (
    ("clean", "a light fine-tune that keeps what its base knew", 0),
    ("forgetful", "over-trained on one narrow task", 10),
    ("backdoored", "answers a fixed text whenever a trigger stands in the prompt", 11),
)


def audit(name: str, base: Path, home: Path) -> tuple[int, float, dict[str, object]]:
    """Run ``curator audit`` on one adapter; return exit code, seconds and the scorecard."""
    out = home / "scorecards"
    out.mkdir(parents=True, exist_ok=True)
    command = [
        str(Path(sys.executable).with_name("curator")),
        *("audit", str(ADAPTERS / name), "--base", str(base)),
        *(word for kind, end in REPORTS for word in ("--report", f"{kind}={out / name}{end}")),
    ]
    start = time.monotonic()
    done = subprocess.run(command, env=os.environ | {"CURATOR_HOME": str(home), "HF_HUB_OFFLINE": "1"}, check=False)
    seconds = time.monotonic() - start
    path = out / f"{name}.json"
    return done.returncode, seconds, json.loads(path.read_text()) if path.is_file() else {}


def main() -> int:
    """Audit each, print one table, return 0 if every verdict is as expected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--home", type=Path, default=Path(".curator/demo"))
    asked = parser.parse_args()
    console = Console()
    table = Table(title="model curator — three adapters on SmolLM2-135M-Instruct (NF4), offline", title_justify="left")
    for column in ("adapter", "what it is", "verdict", "exit", "seconds", "why"):
        table.add_column(column, overflow="fold", justify="right" if column in ("exit", "seconds") else "left")
    wrong = 0
    for name, what, expected in CASES:
        console.rule(f"[bold]{name}[/] — {what}")
        (asked.home / "scorecards" / f"{name}.json").unlink(missing_ok=True)
        code, seconds, card = audit(name, asked.base, asked.home)
        verdict = card.get("verdict", {})
        decision, reason = (
            (str(verdict.get(k, "no verdict")) for k in ("decision", "reason")) if isinstance(verdict, dict) else ("", "")
        )
        table.add_row(name, what, decision, str(code), f"{seconds:.0f}", reason)
        wrong += code != expected
    console.print(table)
    console.print(f"scorecards, bills of materials and JSON: {asked.home.resolve() / 'scorecards'}", soft_wrap=True)
    if wrong:
        console.print(f"[red]{wrong} verdict(s) differ from what this demo expects[/]")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
