"""A summary for a job page or a pull request."""

from __future__ import annotations

import re

from governance.verdict import Scorecard
from reports._render import view

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|<>~-])")


def _cell(text: object) -> str:
    """Return text that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", view.plain(text, 300))


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return ["none", ""]
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(_cell(c) for c in r) + " |" for r in rows),
        "",
    ]


class Markdown:
    """Verdict and reasons first, then evidence and gaps."""

    id = "markdown"
    version = "1"
    media_type = "text/markdown; charset=utf-8"
    suffix = ".md"

    def render(self, card: Scorecard) -> bytes:
        """Return the summary as UTF-8 Markdown."""
        d = card.dossier
        out = [f"# {_cell(card.verdict.decision.value)}: {_cell(d.composition.adapter)}", "", _cell(view.headline(card)), ""]
        out += _table(
            ("rule", "status", "why", "what to do"),
            [(r.rule, r.status.value, r.reason, r.remediation) for r in view.decisive(card)],
        )
        out += ["## Composition", "", *_table(("part", "what"), view.composition_rows(card))]
        rows = [view.measurement_row(m) for m in d.measurements]
        out += ["## Base against adapter", ""]
        out += _table(
            ("measurement", "base", "adapter", "value", "interval", "n", "verdict"),
            [(r.name, r.base, r.adapter, r.value, r.interval, r.n, r.verdict) for r in rows],
        )
        out += ["## Findings", ""]
        out += _table(
            ("severity", "rule", "message"), [(f.severity.value, f"{f.plugin}/{f.rule}", f.message) for f in view.findings(card)]
        )
        out += ["## Not checked", "", *_table(("check", "item", "reason"), view.gaps(card))]
        out += [
            "## Rules",
            "",
            *_table(("rule", "effect", "status", "why"), [(r.rule, r.effect, r.status.value, r.reason) for r in view.rules(card)]),
        ]
        out += [
            f"Run {card.run_id}, {card.created.isoformat()}, model curator {card.curator_version}, "
            f"policy {_cell(card.verdict.policy)} {_cell(card.verdict.policy_version)} (sha256:{card.verdict.policy_digest[:16]}…)."
        ]
        return ("\n".join(out) + "\n").encode("utf-8", "replace")


PLUGIN = Markdown()
