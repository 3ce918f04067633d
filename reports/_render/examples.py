"""Items whose answer changed between base and adapter, as people read them: question, right answer, both answers.

Made from the examples a measurement carries; read by ``reports._render.measured`` and by the table of an evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

from governance.evidence import Measurement
from reports._render import words


@dataclass(frozen=True, slots=True)
class ItemChange:
    """One item. ``change``: lost or gained."""

    change: str
    task: str
    question: str
    gold: str
    base: str
    adapter: str


def changed_items(m: Measurement) -> tuple[ItemChange, ...]:
    """Return the examples of a measurement, lost ones first; none if it carries none."""
    found = [
        ItemChange(
            change=one.change,
            task=words.name(one.task),
            question=words.visible(one.question),
            gold=words.visible(one.gold),
            base=words.visible(one.base),
            adapter=words.visible(one.adapter),
        )
        for one in m.examples
    ]
    return tuple(sorted(found, key=lambda item: item.change != "lost"))
