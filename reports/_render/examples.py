"""Items whose answer changed between base and adapter, as people read them: question, right answer, both answers.

Made from the examples a measurement carries; read by ``reports._render.measured`` and by the table of an evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from governance.evidence import Measurement
from reports._render import words

#: Longest question or answer shown.
_LONG = 400


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
            change=words.name(_said(one, "change", "transition")),
            task=words.name(_said(one, "task")) or words.name(m.scope),
            question=words.visible(_said(one, "question", "prompt"), _LONG),
            gold=words.visible(_said(one, "gold", "target"), _LONG),
            base=words.visible(_said(one, "base"), _LONG),
            adapter=words.visible(_said(one, "adapter"), _LONG),
        )
        for one in _examples(m)
    ]
    return tuple(sorted(found, key=lambda item: item.change != "lost"))


def _examples(m: Measurement) -> Iterable[object]:
    return getattr(m, "examples", ()) or ()


def _said(one: object, *names: str) -> str:
    return next((str(value) for name in names if (value := getattr(one, name, None)) is not None), "")
