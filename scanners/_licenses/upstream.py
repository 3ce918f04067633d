"""Two rules that need more than declarations: ancestors that dropped terms of their own, and cards poorer than they may be.

Called by ``scanners.license_terms``; a what-if knows neither.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from governance.evidence import Basis
from scanners._licenses.duties import judge
from scanners._licenses.lineage import Duty, Lineage
from scanners._licenses.nodes import Node
from scanners._licenses.papers import Papers, holds

#: Terms an ancestor drops by its label; what its files owe beside it is its own affair.
_DROPPED = ("LIC-NC", "LIC-ND", "LIC-SAME", "LIC-PASS", "LIC-VERSION", "LIC-RELABEL", "LIC-COPY")
_HEADING = re.compile(r"^#{1,6} .+$", re.MULTILINE)


def upstream(nodes: Collection[Node]) -> Iterator[Duty]:
    """Yield a conflict at every ancestor whose license drops terms of what it was made from."""
    for node in nodes:
        terms = node.found[0].terms if node.found else None
        if node.kind != "base" or terms is None:
            continue
        for above in nodes:
            if above.kind != "base" or above.child != node.name or above is node:
                continue
            asked = [c.terms for c in above.found if c.terms is not None]
            held = holds(node.own, asked, ()) | {"notice", "display", "changes", "copyright", f"text:{terms.id}"}
            made = Lineage(name=node.name, relation="finetune", terms=terms, parents=tuple(above.parents()), holds=held)
            dropped = [d for d in judge(made) if d.id in _DROPPED and d.level in ("violation", "conflict")]
            if dropped:
                yield Duty(
                    id="LIC-UPSTREAM", level="conflict", ground=Basis.JUDGEMENT, parent=f"base:{node.name}",
                    clause=dropped[0].clause,
                    message=f"{node.name} is labelled {terms.id} and drops terms of {above.name} ({dropped[0].id}): "
                    + dropped[0].message,
                    remedy=f"keep to the terms of {above.name}, or ask the publisher of {node.name}",
                )  # fmt: skip


def documentation(own: Papers, nodes: Collection[Node]) -> Iterator[Duty]:
    """Yield a duty where a license wants documentation as good as its base's, and the card has fewer sections."""
    for node in nodes:
        terms = node.found[0].terms if node.found else None
        if node.kind != "base" or terms is None or "docs" not in terms.clauses or not node.own.card:
            continue
        here, there = len(_HEADING.findall(own.card)), len(_HEADING.findall(node.own.card))
        if here < there:
            yield Duty(
                id="LIC-DOCS", level="obligation", ground=Basis.JUDGEMENT, parent=f"base:{node.name}",
                clause=f"{terms.name} {terms.clauses['docs']}",
                message=f"{terms.id} wants documentation as good as the base's; the card has {here} sections, the base's {there}",
                remedy="document what changed, and keep what the base's card says",
            )  # fmt: skip
