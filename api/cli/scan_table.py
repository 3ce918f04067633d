"""A scan for people: findings first, then files, then what was not read."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from governance.evidence import Finding, Severity
from governance.scan import TRANSFER, FileState, ScanDocument

_COLORS = {
    Severity.CRITICAL: "bold red", Severity.HIGH: "red", Severity.MEDIUM: "yellow", Severity.LOW: "cyan", Severity.INFO: "dim",
}  # fmt: skip
#: Files listed one by one; of more, only those that have something to say are.
_MOST_FILES = 60


def print_scan(found: ScanDocument, output: Path | None = None) -> None:
    """Print a scan as text.

    Args:
        found: The document.
        output: A file instead of standard output.
    """
    if output is None:
        _print(Console(soft_wrap=False), found)
        return
    with output.open("w", encoding="utf-8") as stream:
        _print(Console(file=stream, width=160), found)


def _print(console: Console, found: ScanDocument) -> None:
    console.print(Text(f"{found.subject}: {len(found.files)} files, {len(found.findings)} findings", style="bold"))
    for finding in found.findings:
        _print_finding(console, finding)
    listed = list(found.files)
    if len(listed) > _MOST_FILES:
        listed = [f for f in listed if f.worst is not None or f.state == "not-scanned"]
        console.print(Text(f"{len(found.files) - len(listed)} files without a word to say are not listed", style="dim"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    triaged = found.mode == "triage"
    for column in ("file", "what it is", "state", "worst", "bytes read" if triaged else "other engines"):
        table.add_column(column, overflow="fold")
    for state in listed:
        table.add_row(*_row(state, triaged=triaged))
    console.print(table)
    for gap in found.gaps():
        console.print(Text(f"not scanned: {gap}", style="yellow"))
    asked = [f"{scanner} {reason}" for scanner, reason in found.not_asked.items() if "not switched on" not in reason]
    off = [scanner for scanner, reason in found.not_asked.items() if "not switched on" in reason]
    for words in (*asked, *([f"{', '.join(off)} are not switched on (--voice)"] if off else [])):
        console.print(Text(f"not asked: {words}", style="dim"))
    for check in found.checks if triaged else ():
        if check.id == TRANSFER:
            console.print(Text(f"read: {check.reason}"))
    if triaged:
        console.print(Text("a triage approves nothing: curator audit verifies whole files", style="dim"))


def _print_finding(console: Console, finding: Finding) -> None:
    console.print(
        Text.assemble((f"{finding.severity.value:9}", _COLORS[finding.severity]), (finding.rule, "bold"), f"  {finding.message}")
    )
    if finding.remediation and finding.severity.rank > Severity.LOW.rank:
        console.print(Text(f"{'':9}what to do: {finding.remediation}", style="dim"))


def _row(state: FileState, *, triaged: bool) -> tuple[Text, ...]:
    worst = Text(state.worst.value, style=_COLORS[state.worst]) if state.worst else Text("-", style="dim")
    voices = "; ".join(f"{engine}: {words}" for engine, words in state.voices.items())
    ended = Text(state.state, style="yellow" if state.state == "not-scanned" else "")
    last = f"{state.transferred or 0:,} of {state.size:,}" if triaged else voices
    return Text(state.path), Text(state.kind), ended, worst, Text(last, style="dim")
