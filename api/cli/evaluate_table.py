"""An evaluation for people: each adapter's numbers side by side, then items that were lost, then what was not measured."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from governance.evaluation import Evaluated, EvaluationDocument, is_detail
from governance.evidence import Measurement
from reports._render import words
from reports._render.compared import label, short_name
from reports._render.drawn import is_difference
from reports._render.examples import changed_items

_VERDICTS = {"retained": "green", "degraded": "bold red", "inconclusive": "yellow"}
_STANDINGS = {"retained": "green", "degraded": "bold red"}
_COLUMNS = ("measured", "base", "adapter", "difference", "interval", "margin", "n", "outcome")
#: Items shown of those that an adapter lost; the document holds all that were kept as examples.
_MOST_LOST = 5
#: Columns where no terminal says how many there are.
_WIDTH = 140


def print_evaluation(found: EvaluationDocument, output: Path | None = None) -> None:
    """Print an evaluation as text.

    Args:
        found: The document; its strings may be hostile.
        output: A file instead of standard output.
    """
    if output is None:
        console = Console()
        _print(console if console.is_terminal else Console(width=_WIDTH), found)
        return
    with output.open("w", encoding="utf-8") as stream:
        _print(Console(file=stream, width=_WIDTH), found)


def _print(console: Console, found: EvaluationDocument) -> None:
    bases = {one.base.digest: one.base for one in found.adapters if one.base is not None}
    on = ", ".join(short_name(base) for base in bases.values()) or "no base"
    console.print(Text(f"{words.count(len(found.adapters), 'adapter')} on {on}, suite {words.name(found.suite)}", style="bold"))
    console.print(_table(found))
    for one in found.adapters:
        for line in _lost(one):
            console.print(line)
    for one in found.adapters:
        for gap, checks in _gaps(one).items():
            asked = f"{', '.join(checks)}: " if checks else ""
            console.print(Text(f"not measured: {label(one)}: {asked}{words.visible(gap)}", style="yellow"))
        if one.trouble is not None and one.trouble.hint:
            console.print(Text(f"  what to do: {words.visible(one.trouble.hint)}", style="dim"))
    for name, reason in found.not_asked.items():
        console.print(Text(f"not asked: {name}: {reason}", style="dim"))
    console.print(Text(_how(found), style="dim"))
    console.print(Text("an evaluation approves nothing: curator audit scans the files and records a verdict", style="dim"))


def _table(found: EvaluationDocument) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in _COLUMNS:
        table.add_column(column, overflow="fold", no_wrap=column != "measured", justify="right" if column == "n" else "left")
    for one in found.adapters:
        standing = Text(one.standing().replace("-", " "), style=_STANDINGS.get(one.standing(), "yellow"))
        table.add_row(Text(label(one), style="bold"), *[""] * (len(_COLUMNS) - 2), standing)
        for measurement in _ordered(one):
            table.add_row(*_row(measurement))
    return table


def _gaps(one: Evaluated) -> dict[str, list[str]]:
    """Return what was not measured, and which evaluators say so: what one base lacks, several of them miss."""
    found: dict[str, list[str]] = {}
    for gap in one.gaps():
        found.setdefault(": ".join(filter(None, (gap.item, gap.reason))), []).extend(filter(None, [gap.check]))
    return found


def _ordered(one: Evaluated) -> Iterable[Measurement]:
    """Yield each family with its tasks below it, then the rest; a number that is given under two scopes is shown once."""
    claims = one.claims()
    details = [m for m in one.measurements if is_detail(m.metric)]
    shown: list[Measurement] = []
    for claim in claims:
        family = claim.details.get("family")
        shown += [claim, *(m for m in details if m.plugin == claim.plugin and m.details.get("family") == family)]
    yield from shown
    yield from (m for m in details if m not in shown)
    yield from (m for m in one.measurements if m.verdict is None and not is_detail(m.metric))


def _row(m: Measurement) -> tuple[Text, ...]:
    difference = is_difference(m)
    show = words.signed if difference else words.number
    detail = is_detail(m.metric)
    what = f"    {words.name(m.scope)}" if detail else f"  {words.name(m.metric)} · {words.name(m.scope)}"
    return (
        Text(what, style="dim" if detail else ""),
        Text("" if m.base_value is None else words.number(m.base_value)),
        Text("" if m.adapter_value is None else words.number(m.adapter_value)),
        Text(show(m.value, m.unit), style="" if detail else "bold"),
        Text("" if m.interval is None else words.interval(m.interval, sign=difference)),
        Text("" if m.margin is None else words.number(m.margin)),
        Text(str(m.n)),
        Text(words.name(m.verdict or ""), style=_VERDICTS.get(m.verdict or "", "")),
    )


def _lost(one: Evaluated) -> Iterable[Text]:
    """Yield items the base had right and the adapter has not, with both answers, where examples were kept."""
    lost = [item for m in one.measurements for item in changed_items(m) if item.change == "lost"]
    if not lost:
        return
    yield Text(f"lost by {label(one)}: {words.count(len(lost), 'example')}, first {min(len(lost), _MOST_LOST)}", style="bold")
    for item in lost[:_MOST_LOST]:
        yield Text.assemble(("  " + item.task, "dim"), f" {item.question}")
        yield Text.assemble(
            ("    base: ", "dim"), item.base, ("   adapter: ", "dim"), item.adapter, ("   right: ", "dim"), item.gold
        )


def _how(found: EvaluationDocument) -> str:
    paths = "; ".join(words.name(path) for path in found.kernel_paths) or "no model was run"
    margins = ", ".join(f"{k} {v:g}" for k, v in found.margins.items())
    spent = sum(one.costs.answered for one in found.adapters), sum(one.costs.from_rows for one in found.adapters)
    asked = f"{spent[0]} answers asked, {spent[1]} known before, in {words.seconds(found.seconds)}"
    return f"{asked} · seed {found.seed} · {paths} · margins of policy {words.name(found.policy.partition('@')[0])}: {margins}"
