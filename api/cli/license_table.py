"""License answers for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from api.licensing import Drift, LicenseReport

_COLORS = {"violation": "bold red", "conflict": "red", "unknown": "yellow", "obligation": "cyan", "ok": "green"}


def _level(text: str) -> Text:
    return Text(text, style=_COLORS.get(text, ""))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_report(found: LicenseReport) -> None:
    """Print both verdicts, every part's license, every duty, and the texts that close them."""
    out = Console()
    out.print(Text.assemble("did its author keep the terms?  ", _level(found.model_verdict)))
    out.print(Text.assemble("may you use it?                 ", _level(found.use_verdict)))
    parts = _table("part", "name", "declared", "detected", "concluded")
    for c in found.components:
        parts.add_row(
            c.type, *map(Text, (c.name, c.license_declared or "-", c.license_detected or "-", c.license_concluded or "unknown"))
        )
    out.print(parts)
    duties = _table("verdict", "rule", "grounding", "what", "to do")
    for f in found.findings:
        duties.add_row(
            _level(f.rule.removeprefix("license-")), f.evidence.get("rule", ""), f.basis.value, Text(f.message.partition(": ")[2]),
            Text(f.remediation),
        )  # fmt: skip
    if found.findings:
        out.print()
        out.print(duties)
    for kind, text in found.remedies.items():
        out.print(Text(f"\n{kind}:", style="bold"))
        out.print(Text(text))
    if found.open_questions:
        out.print(Text(f"\nnot told, and it may matter: {', '.join(found.open_questions)}", style="dim"))


def print_answer(found: Mapping[str, object]) -> None:
    """Print a what-if's answer."""
    out = Console()
    for group in ("allowed", "refused"):
        rows = found.get(group)
        if isinstance(rows, list):
            table = _table(group, "verdict", "rules")
            for row in rows:
                first, verdict, rules = list(row.values())
                table.add_row(Text(str(first)), _level(str(verdict)), Text(" ".join(rules)))
            out.print(table)
    rules = found.get("rules")
    if isinstance(rules, list):
        for key in ("model_verdict", "use_verdict"):
            out.print(Text.assemble(f"{key.replace('_', ' ')}: ", _level(str(found.get(key)))))
        table = _table("verdict", "rule", "grounding", "clause", "parent", "to do")
        for r in rules:
            table.add_row(_level(r["verdict"]), r["id"], r["grounding"], *map(Text, (r["clause"], r["parent"], r["remedy"])))
        out.print(table)


def print_drift(found: Drift) -> None:
    """Print what changed between two revisions."""
    out = Console()
    out.print(Text(f"{found.adapter}: {found.before} → {found.after}"))
    out.print(Text.assemble("verdict: ", _level(found.verdict_before), " → ", _level(found.verdict_after)))
    if not found.changes:
        out.print("no license, text or parent changed")
        return
    table = _table("part", "what", "before", "after")
    for c in found.changes:
        table.add_row(*map(Text, (c.part, c.what, c.before, c.after)))
    out.print(table)
    for words, rules in (("new", found.new_rules), ("gone", found.gone_rules)):
        for rule in rules:
            out.print(Text(f"{words}: {rule}"))


def print_scores(found: Mapping[str, object]) -> None:
    """Print how a file of worked cases came out."""
    out = Console()
    grounding, scores, judged = found.get("grounding"), found.get("scores"), found.get("judged")
    if isinstance(grounding, dict):
        out.print(
            f"{found.get('agree')} of {found.get('cases')} cases agree; grounding {grounding['agree']} of {grounding['scored']}"
        )
    table = _table("verdict", "cases", "found", "precision", "recall", "F1")
    for name, score in (scores if isinstance(scores, dict) else {}).items():
        numbers = ["-" if score[k] is None else f"{score[k]:.2f}" for k in ("precision", "recall", "f1")]
        table.add_row(name, str(score["n"]), str(score["found"]), *numbers)
    out.print(table)
    for j in judged if isinstance(judged, list) else ():
        if not j["agrees"]:
            missing = " ".join(j["missing"]) or "-"
            out.print(Text(f"{j['case']}: expected {j['expected']}, found {j['verdict']}; missing {missing} {j['problem']}"))
