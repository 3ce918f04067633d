"""A summary for a job page or a pull request, in GitHub's Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from governance.verdict import Decision, Scorecard
from reports._render.measured import MeasuredRow
from reports._render.view import View, view

#: What begins markup inside a line, a mention, a formula, an issue's number, or a link made of bare text.
_SPECIAL = re.compile(r"([\\`*_\[\]#|<>~&$@]|:(?=\S)|(?<=www)\.)", re.IGNORECASE)
_MARKS = {Decision.APPROVE: "✅", Decision.REVIEW: "⚠️", Decision.REJECT: "⛔"}
#: Most findings and gaps listed, so that a comment stays far below the largest one a forge takes.
_MOST = 40


def plain(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, link, mention, formula or HTML comes of it."""
    return _SPECIAL.sub(r"\\\1", text)


def _code(text: str) -> str:
    """Return text as code; a backtick in it becomes its look-alike, as a table cell has no longer fence."""
    return f"`{text.replace('`', 'ˋ').replace('|', '¦')}`" if text else ""


class Markdown:
    """Verdict and reasons first, gaps before numbers, every table short."""

    id = "markdown"
    version = "1"
    media_type = "text/markdown; charset=utf-8"
    suffix = ".md"

    def render(self, card: Scorecard) -> bytes:
        """Return the summary as UTF-8 Markdown."""
        v = view(card)
        lines = [
            *_head(v),
            *_decisive(v),
            *_gaps(v),
            *_measured(v),
            *_findings(v),
            *_licenses(v),
            *_composition(v),
            *_rules(v),
            *_foot(v),
        ]
        return ("\n".join(lines).rstrip() + "\n").encode("utf-8", "replace")


def _head(v: View) -> list[str]:
    base = f"on {_code(v.on_base)}" if v.on_base else "without a base"
    return [
        f"## {_MARKS[v.decision]} {v.word}: {plain(v.title)}",
        "",
        f"**{plain(v.reason)}**",
        "",
        f"{v.meaning} ({base}, policy {plain(v.policy)})",
        "",
    ]


def _decisive(v: View) -> list[str]:
    out: list[str] = []
    for r in v.decisive:
        out.append(f"- **{plain(r.title or r.id)}**: {r.word}, asks for {r.asks}. {plain(r.reason)}")
        if r.remediation:
            out.append(f"  - What to do: {plain(r.remediation)}")
    return [*out, ""] if out else []


def _gaps(v: View) -> list[str]:
    if not v.gaps:
        return ["### Not checked", "", "Nothing: every check that was asked got to its end.", ""]
    rows = ([_code(g.check), plain(g.item), g.word, plain(g.reason)] for g in v.gaps[:_MOST])
    return _table("Not checked", ("check", "what", "state", "reason"), rows, left=len(v.gaps) + v.gaps_left_out - _MOST)


def _measured(v: View) -> list[str]:
    rows = [[plain(said) for said in _numbers(r)] for g in v.measured for r in g.rows]
    if not rows:
        return ["### Base against adapter", "", f"Not measured: {plain(v.evaluation_gap) or 'nothing was asked'}", ""]
    return _table("Base against adapter", ("measured", "base", "adapter", "value and interval", "margin", "n", "outcome"), rows)


def _numbers(r: MeasuredRow) -> tuple[str, ...]:
    """Return the cells of one measurement; the unit in a number is text of a child, so all of them are escaped."""
    value = f"{r.value} ({r.interval})" if r.interval else r.value
    return r.what, r.base, r.adapter, value, r.margin, str(r.n), r.verdict


def _findings(v: View) -> list[str]:
    rows = (
        [f.severity, _code(f"{f.plugin}/{f.rule}"), plain(f.message), _code(f.places[0]) if f.places else ""]
        for f in v.findings[:_MOST]
    )
    left = len(v.findings) + v.findings_left_out - _MOST
    return _table("Findings", ("severity", "rule", "message", "where"), rows, left=left)


def _licenses(v: View) -> list[str]:
    rows = ([x.role, plain(x.name), plain(x.declared), plain(x.detected), plain(x.concluded)] for x in v.licenses)
    return _table("Licenses", ("part", "name", "declared", "found in texts", "concluded"), rows)


def _composition(v: View) -> list[str]:
    rows = ([p.role, _code(p.name), _code(p.commit), _code(p.digest), plain(p.detail)] for p in v.parts)
    return _table("What was audited", ("part", "name", "commit", "sha256", "notes"), rows)


def _rules(v: View) -> list[str]:
    rows = ([_code(r.id), r.effect, r.word, plain(r.reason)] for r in v.rules)
    return _table("Every rule", ("rule", "effect", "state", "reason"), rows)


def _foot(v: View) -> list[str]:
    notes = [f"> {plain(n)}" for n in v.notes]
    return [*notes, "", f"Run {_code(v.run_id)}, {v.created}, model curator {plain(dict(v.made_with)['model curator'])}."]


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 0) -> list[str]:
    """Return a heading and a table; nothing if there is no row."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return []
    more = [f"and {left} more in the JSON report", ""] if left > 0 else []
    return [f"### {title}", "", f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns), *lines, "", *more]


PLUGIN = Markdown()
