"""A scan for people: findings first, then files, then what was not read."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from governance.evidence import Finding, Severity
from governance.scan import FileState, ScanDocument

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
    for column in ("file", "what it is", "state", "worst", "other engines"):
        table.add_column(column, overflow="fold")
    for state in listed:
        table.add_row(*_row(state))
    console.print(table)
    for gap in found.gaps():
        console.print(Text(f"not scanned: {gap}", style="yellow"))
    for scanner, reason in found.not_asked.items():
        console.print(Text(f"not asked: {scanner}: {reason}", style="dim"))
    if found.transferred:
        console.print(Text(", ".join(f"{k} {v:,}" for k, v in found.transferred.items())))


def _print_finding(console: Console, finding: Finding) -> None:
    console.print(
        Text.assemble((f"{finding.severity.value:9}", _COLORS[finding.severity]), (finding.rule, "bold"), f"  {finding.message}")
    )
    if finding.remediation and finding.severity.rank > Severity.LOW.rank:
        console.print(Text(f"{'':9}what to do: {finding.remediation}", style="dim"))


def _row(state: FileState) -> tuple[Text, ...]:
    worst = Text(state.worst.value, style=_COLORS[state.worst]) if state.worst else Text("-", style="dim")
    voices = "; ".join(f"{engine}: {words}" for engine, words in state.voices.items())
    ended = Text(state.state, style="yellow" if state.state == "not-scanned" else "")
    return Text(state.path), Text(state.kind), ended, worst, Text(voices, style="dim")
