"""What of a measurement can be drawn: the two models on one scale, and their difference beside the margin.

Made from ``Measurement`` facts; read by ``reports._render.measured`` and ``reports._render.charts``. Nothing is drawn that is
not finite, and nothing is drawn that the table beside it does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from governance.evidence import Measurement
from reports._render import words

#: Where a larger number is worse; the limit lies above the base there.
_LOWER_IS_BETTER = frozenset({"bits-per-byte", "kl-divergence", "attack-success-rate", "trigger-divergence"})
#: How the metrics are called that repeat a family's row for one task.
_DETAIL = "-task"
Tone = Literal["good", "bad", "open", ""]
#: Statistical outcomes that ask for attention, and those that do not; another word is shown without a tone.
_TONES: dict[str, Tone] = {
    "retained": "good", "improved": "good", "non-inferior": "good", "gained": "good",
    "degraded": "bad", "inferior": "bad", "lost": "bad", "confirmed": "bad",
    "inconclusive": "open", "underpowered": "open",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bar:
    """Both models on one scale. ``start`` is the base's value (or None), ``end`` the adapter's."""

    label: str
    start: float | None
    end: float
    low: float | None
    high: float | None
    is_detail: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """Adapter minus base with its interval; ``limit`` is the margin on the side of a loss."""

    label: str
    value: float
    low: float | None
    high: float | None
    limit: float | None
    outcome: str
    tone: Tone
    is_detail: bool


def is_difference(m: Measurement) -> bool:
    """Return whether the value is adapter minus base."""
    if m.base_value is None or m.adapter_value is None:
        return False
    return math.isclose(m.value, m.adapter_value - m.base_value, rel_tol=1e-6, abs_tol=1e-9)


def is_detail(m: Measurement) -> bool:
    """Return whether a measurement repeats a family's number for one task."""
    return m.metric.endswith(_DETAIL)


def tone(m: Measurement) -> Tone:
    """Return whether an outcome asks for attention."""
    return _TONES.get(m.verdict or "", "")


def differences(measurements: Iterable[Measurement]) -> tuple[Difference, ...]:
    """Return the differences of one unit, families before their tasks; a family that is given under two scopes once."""
    found: dict[object, tuple[str, Difference]] = {}
    for m in measurements:
        if not is_difference(m):
            continue
        drawn = _difference(m)
        if all(math.isfinite(v) for v in (drawn.value, drawn.low, drawn.high, drawn.limit) if v is not None):
            scope = m.scope if is_detail(m) else m.details.get("family", m.scope)
            found.setdefault((m.metric, scope), (m.unit, drawn))
    every = sorted(found.values(), key=lambda one: one[1].is_detail)
    return tuple(drawn for unit, drawn in every if unit == every[0][0])


def bars(measurements: Sequence[Measurement]) -> tuple[Bar, ...]:
    """Return what one axis can hold: measurements of one unit, those with a base before those without."""
    drawn = {(m.metric, b.label): (m.unit, b) for m in measurements if (b := _bar(m)) is not None}
    kept = [(unit, bar) for unit, bar in drawn.values() if bar.start is not None] or list(drawn.values())
    return tuple(bar for unit, bar in kept if unit == kept[0][0])


def spoken(shown: Sequence[Difference]) -> str:
    """Return how many differences ended how: ``2 degraded, 5 retained``; empty where there are no outcomes."""
    counted: dict[str, int] = {}
    for one in shown:
        if one.outcome:
            counted[one.outcome] = counted.get(one.outcome, 0) + 1
    return ", ".join(f"{n} {outcome}" for outcome, n in sorted(counted.items()))


def _difference(m: Measurement) -> Difference:
    limit = None
    if m.margin is not None:
        limit = m.margin if m.metric in _LOWER_IS_BETTER else -m.margin
    return Difference(
        label=_label(m),
        value=m.value,
        low=m.interval.low if m.interval else None,
        high=m.interval.high if m.interval else None,
        limit=limit,
        outcome=words.name(m.verdict or ""),
        tone=tone(m),
        is_detail=is_detail(m),
    )


def _bar(m: Measurement) -> Bar | None:
    """Return how both models are drawn, or None if a number is missing or not finite.

    A difference's interval is not drawn here: it belongs to the difference, not to the adapter's own value.
    """
    difference = is_difference(m)
    end = m.adapter_value if difference and m.adapter_value is not None else m.value
    low, high = (m.interval.low, m.interval.high) if m.interval and not difference else (None, None)
    drawn = [v for v in (m.base_value, end, low, high) if v is not None]
    if len(drawn) < 2 or not all(math.isfinite(v) for v in drawn):
        return None
    return Bar(label=_label(m), start=m.base_value, end=end, low=low, high=high, is_detail=is_detail(m))


def _label(m: Measurement) -> str:
    return words.name(m.scope if is_detail(m) else f"{m.metric} · {m.details.get('family', m.scope)}")
