"""What the terminal shows: verdict and why first, then rules, numbers, findings, checks and gaps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO
from typing import TYPE_CHECKING

from governance.verdict import Decision, RuleStatus, Scorecard
from reports._render.measured import MeasuredRow
from reports._render.view import View, view

if TYPE_CHECKING:
    from rich.console import Console

#: Columns of the plain text.
WIDTH = 100
_STYLES = {Decision.APPROVE: "bold green", Decision.REVIEW: "bold yellow", Decision.REJECT: "bold red"}
_MARKS = {
    RuleStatus.PASS: ("✓", "green"),
    RuleStatus.FAIL: ("✗", "red"),
    RuleStatus.UNKNOWN: ("?", "magenta"),
    RuleStatus.WAIVED: ("~", "cyan"),
    RuleStatus.NOT_APPLICABLE: ("–", "dim"),
}
_SEVERITIES = {"critical": "bold red", "high": "red", "medium": "yellow"}
_TONES = {"good": "green", "bad": "red", "open": "yellow"}
#: Most findings and gaps listed; other formats list more.
_MOST = 15


def render_rich(card: Scorecard, console: Console) -> None:
    """Print a scorecard to a console, whose width and color decide how.

    Args:
        card: A recorded scorecard; its strings are shown as they are, never as console markup.
        console: Where to.
    """
    from rich.text import Text

    v = view(card)
    console.print(Text(f"{v.word.upper()}  {v.title}", style=_STYLES[v.decision]))
    console.print(Text(v.reason))
    console.print(Text(f"on {v.on_base or 'no base'} · policy {v.policy} · run {v.run_id}", style="dim"))
    for r in v.decisive:
        mark, style = _MARKS[r.status]
        console.print()
        console.print(Text.assemble((f"{mark} {r.title or r.id}", f"bold {style}"), f" ({r.word}, {r.effect})"))
        console.print(Text(r.reason))
        if r.remediation:
            console.print(Text(f"→ {r.remediation}"))
    _sections(v, console)


def _sections(v: View, console: Console) -> None:
    _grid(
        console,
        "Rules",
        ("", "rule", "effect", "reason"),
        ([(_MARKS[r.status][0], _MARKS[r.status][1]), (r.id, ""), (r.effect, ""), (r.reason, "")] for r in v.rules),
    )
    _grid(
        console,
        "Base against adapter",
        ("measured", "base", "adapter", "value", "interval", "margin", "n", "outcome"),
        (_measured(r) for g in v.measured for r in g.rows),
    )
    if v.evaluation_gap:
        _line(console, "Base against adapter", f"not measured: {v.evaluation_gap}")
    _grid(
        console,
        "Findings",
        ("severity", "rule", "message"),
        (
            [(f.severity, _SEVERITIES.get(f.severity, "")), (f.rule, ""), (_place(f.places) + f.message, "")]
            for f in v.findings[:_MOST]
        ),
    )
    _more(console, len(v.findings) + v.findings_left_out - _MOST)
    _grid(
        console,
        "Checks",
        ("check", "state", "covered", "time"),
        ([(c.id, ""), (c.word, "" if c.checked else "magenta"), (c.covered, ""), (c.seconds, "")] for c in v.checks),
    )
    if not v.gaps:
        _line(console, "Not checked", "nothing: every check that was asked got to its end")
    _grid(
        console,
        "Not checked",
        ("check", "what", "state", "reason"),
        ([(g.check, ""), (g.item, ""), (g.word, "magenta"), (g.reason, "")] for g in v.gaps[:_MOST]),
    )
    _more(console, len(v.gaps) + v.gaps_left_out - _MOST)
    for note in v.notes:
        _line(console, "Note", note)


def _measured(r: MeasuredRow) -> list[tuple[str, str]]:
    what = f"· {r.what}" if r.is_detail else r.what
    values = [(what, ""), (r.base, ""), (r.adapter, ""), (r.value, "bold"), (r.interval, ""), (r.margin, "")]
    return [*values, (str(r.n), ""), (r.verdict, _TONES.get(r.tone, ""))]


def _place(places: Sequence[str]) -> str:
    return f"{places[0]}: " if places else ""


def _line(console: Console, title: str, text: str) -> None:
    from rich.text import Text

    console.print()
    console.print(Text(title, style="bold"))
    console.print(Text(text))


def _more(console: Console, left: int) -> None:
    from rich.text import Text

    if left > 0:
        console.print(Text(f"and {left} more: --format json shows all", style="dim"))


def _grid(console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[tuple[str, str]]]) -> None:
    """Print rows of (text, style) under a title; nothing if there are none."""
    from rich.table import Table as Grid
    from rich.text import Text

    shown = list(rows)
    if not shown:
        return
    kept = [i for i, _ in enumerate(columns) if any(row[i][0] for row in shown)]
    grid = Grid(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for i in kept:
        short = all(len(row[i][0]) <= 12 for row in shown)
        grid.add_column(columns[i], overflow="fold", no_wrap=short, justify="right" if columns[i] in ("n", "time") else "left")
    for row in shown:
        grid.add_row(*(Text(row[i][0], style=row[i][1]) for i in kept))
    console.print()
    console.print(Text(title, style="bold"))
    console.print(grid)


class Table:
    """What ``curator audit`` shows by default, as plain text."""

    id = "table"
    version = "1"
    media_type = "text/plain; charset=utf-8"
    suffix = ".txt"

    def render(self, card: Scorecard) -> bytes:
        """Return the text in UTF-8, 100 columns wide, without color."""
        from rich.console import Console

        out = StringIO()
        render_rich(card, Console(file=out, width=WIDTH, color_system=None, force_terminal=False, legacy_windows=False))
        return ("\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n").encode("utf-8", "replace")


PLUGIN = Table()
