"""What the terminal shows: verdict and why first, 100 columns, no color."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from governance.verdict import RuleStatus, Scorecard
from reports._render import view

_STYLE = {"approve": "bold green", "review": "bold yellow", "reject": "bold red"}
_MARK = {
    RuleStatus.PASS: ("✓ pass", "green"), RuleStatus.FAIL: ("✗ fail", "red"), RuleStatus.UNKNOWN: ("? unknown", "yellow"),
    RuleStatus.WAIVED: ("~ waived", "cyan"), RuleStatus.NOT_APPLICABLE: ("– n/a", "dim"),
}  # fmt: skip


def print_card(card: Scorecard, console: Console) -> None:
    """Print a scorecard to a console; its width and color decide how.

    Args:
        card: A recorded scorecard.
        console: Where to.
    """
    decision = card.verdict.decision.value
    console.print(Text(view.headline(card), style=_STYLE[decision]))
    console.print()
    _grid(
        console, "", ("", ""), [[Text(label, style="dim"), Text(value)] for label, value in view.composition_rows(card)], head=False
    )
    _grid(
        console, "Rules", ("status", "effect", "rule", "why"),
        [[Text(*_MARK[r.status]), Text(r.effect), Text(view.plain(r.rule)), Text(view.plain(r.reason, 240))] for r in view.rules(card)],
    )  # fmt: skip
    rows = [view.measurement_row(m) for m in card.dossier.measurements]
    _grid(
        console, "Base against adapter", ("measurement", "base", "adapter", "value", "interval", "n", "verdict"),
        [[Text(c) for c in (r.name, r.base, r.adapter, r.value, r.interval, r.n, r.verdict)] for r in rows],
    )  # fmt: skip
    shown = [f for f in view.findings(card) if f.severity.rank > 0]
    _grid(
        console, "Findings", ("severity", "rule", "message"),
        [[Text(f.severity.value), Text(f"{f.plugin}/{f.rule}"), Text(view.plain(f.message, 300))] for f in shown],
    )  # fmt: skip
    _grid(
        console,
        "Checks",
        ("check", "seconds", "reach"),
        [[Text(c.id), Text(f"{c.seconds:.1f}"), Text(view.reach(c))] for c in card.dossier.checks],
    )
    _grid(console, "Not checked", ("check", "item", "reason"), [[Text(c) for c in g] for g in view.gaps(card)])
    console.print(
        Text(
            f"run {card.run_id}  policy {card.verdict.policy}@{card.verdict.policy_digest[:12]}  {card.seconds:.0f} s", style="dim"
        )
    )


def _grid(console: Console, title: str, columns: tuple[str, ...], rows: list[list[Text]], *, head: bool = True) -> None:
    if not rows:
        return
    grid = Grid(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=None,
        show_header=head,
        pad_edge=False,
        header_style="dim",
    )
    for column in columns:
        grid.add_column(column, overflow="fold", no_wrap=column in ("status", "effect", "n", "severity", "seconds"))
    for row in rows:
        grid.add_row(*row)
    console.print(grid)
    console.print()


class Terminal:
    """The same card as plain text."""

    id = "table"
    version = "1"
    media_type = "text/plain; charset=utf-8"
    suffix = ".txt"

    def render(self, card: Scorecard) -> bytes:
        """Return the card as UTF-8 text, 100 columns, without color."""
        out = StringIO()
        print_card(card, Console(file=out, width=100, color_system=None, force_terminal=False, highlight=False))
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).encode("utf-8", "replace") + b"\n"


PLUGIN = Terminal()
