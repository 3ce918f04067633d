"""Measurements as people read them: grouped, base beside adapter, with interval, margin and n.

Made from ``Measurement`` facts; read by ``reports._render.view`` and ``reports._render.charts``. A metric nobody here has
heard of is shown under its own id.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from governance.evidence import Measurement
from reports._render import words

#: Metric → the group it is shown in; the order is the order of the groups.
_GROUPS = {
    "retention": "Kept abilities",
    "retention-task": "Kept abilities",
    "domain-skill": "Skill in the claimed domain",
    "domain-task": "Skill in the claimed domain",
    "bits-per-byte": "Language modelling",
    "kl-divergence": "Language modelling",
    "attack-success-rate": "Backdoor probe",
    "trigger-divergence": "Backdoor probe",
}
_OTHER = "Other measurements"
_SUMMARIES = {
    "Kept abilities": "Whether the adapter still does what its base does, on the same items.",
    "Skill in the claimed domain": "Whether the adapter is at least as good as its base at what it is for.",
    "Language modelling": "How well held-out text is predicted, and how far the adapter's predictions moved.",
    "Backdoor probe": "Whether some string makes the adapter change its behaviour where the base does not.",
    _OTHER: "",
}
#: Where a larger number is worse; the limit lies above the base there.
_LOWER_IS_BETTER = frozenset({"bits-per-byte", "kl-divergence", "attack-success-rate", "trigger-divergence"})
#: Rows that repeat a family's row in detail.
_DETAIL_METRICS = frozenset({"retention-task", "domain-task"})
#: Statistical outcomes that ask for attention, and those that do not; another word is shown without a tone.
_TONES = {
    "retained": "good", "improved": "good", "non-inferior": "good", "gained": "good",
    "degraded": "bad", "inferior": "bad", "lost": "bad", "confirmed": "bad",
    "inconclusive": "open", "underpowered": "open",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a chart, all in the metric's unit. ``start`` is the base's value (or None), ``end`` the adapter's."""

    label: str
    start: float | None
    end: float
    low: float | None
    high: float | None
    limit: float | None


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """One measurement in words."""

    metric: str
    what: str
    is_detail: bool
    base: str
    adapter: str
    value: str
    is_difference: bool
    interval: str
    method: str
    margin: str
    n: int
    verdict: str
    tone: str
    details: tuple[tuple[str, str], ...]
    bar: Bar | None


@dataclass(frozen=True, slots=True)
class MeasuredGroup:
    """Measurements that answer one question."""

    id: str
    title: str
    summary: str
    rows: tuple[MeasuredRow, ...]
    bars: tuple[Bar, ...]
    how: tuple[str, ...]


def group_measurements(measurements: Iterable[Measurement]) -> tuple[MeasuredGroup, ...]:
    """Return the groups that hold anything, in a fixed order, the measurements of each in the order they were made."""
    sorted_in: dict[str, list[Measurement]] = {title: [] for title in _SUMMARIES}
    for measurement in measurements:
        sorted_in[_GROUPS.get(measurement.metric, _OTHER)].append(measurement)
    return tuple(_group(title, found) for title, found in sorted_in.items() if found)


def _group(title: str, found: Sequence[Measurement]) -> MeasuredGroup:
    ordered = sorted(found, key=lambda m: m.metric in _DETAIL_METRICS)
    rows = tuple(_row(m) for m in ordered)
    return MeasuredGroup(
        id=title.lower().replace(" ", "-"),
        title=title,
        summary=_SUMMARIES[title],
        rows=rows,
        bars=_bars(ordered, rows),
        how=_how(ordered),
    )


def _bars(found: Sequence[Measurement], rows: Sequence[MeasuredRow]) -> tuple[Bar, ...]:
    """Return what one axis can hold: rows of one unit, those with a base before those without."""
    drawn = [(m.unit, row.bar) for m, row in zip(found, rows, strict=True) if row.bar]
    drawn = [(unit, bar) for unit, bar in drawn if bar.start is not None] or drawn
    return tuple(bar for unit, bar in drawn if unit == drawn[0][0])


def _row(m: Measurement) -> MeasuredRow:
    difference = is_difference(m)
    show = words.signed if difference else words.number
    return MeasuredRow(
        metric=words.name(m.metric),
        what=_what(m),
        is_detail=m.metric in _DETAIL_METRICS,
        base="" if m.base_value is None else words.number(m.base_value),
        adapter="" if m.adapter_value is None else words.number(m.adapter_value),
        value=show(m.value, m.unit),
        is_difference=difference,
        interval="" if m.interval is None else words.interval(m.interval, sign=difference),
        method="" if m.interval is None else words.level(m.interval),
        margin="" if m.margin is None else words.number(m.margin),
        n=m.n,
        verdict=words.name(m.verdict or ""),
        tone=_TONES.get(m.verdict or "", ""),
        details=tuple((words.name(k), _detail(v)) for k, v in m.details.items()),
        bar=_bar(m, difference=difference),
    )


def is_difference(m: Measurement) -> bool:
    """Return whether the value is adapter minus base."""
    if m.base_value is None or m.adapter_value is None:
        return False
    return math.isclose(m.value, m.adapter_value - m.base_value, rel_tol=1e-6, abs_tol=1e-9)


def _what(m: Measurement) -> str:
    called = words.METRICS.get(m.metric, words.name(m.metric))
    scope = words.name(m.scope)
    return scope if called == "task" else f"{called[:1].upper()}{called[1:]} — {scope}" if scope else called


def _detail(value: float | int | str) -> str:
    return words.number(value) if isinstance(value, float) else words.visible(value)


def _bar(m: Measurement, *, difference: bool) -> Bar | None:
    """Return how the row is drawn, or None if a number is missing or not finite.

    The interval of a difference is drawn around the adapter, measured from the base: the reader sees both models on one
    scale, and the interval clears the limit exactly when the difference clears the margin.
    """
    start = m.base_value
    end = m.adapter_value if difference and m.adapter_value is not None else m.value
    offset = start if difference and start is not None else 0.0
    low, high = (m.interval.low + offset, m.interval.high + offset) if m.interval else (None, None)
    limit = None
    if m.margin is not None and difference and start is not None and (m.metric in _LOWER_IS_BETTER or m.metric in _GROUPS):
        limit = start + m.margin if m.metric in _LOWER_IS_BETTER else start - m.margin
    drawn = [v for v in (start, end, low, high, limit) if v is not None]
    if len(drawn) < 2 or not all(math.isfinite(v) for v in drawn):
        return None
    label = words.name(m.scope if m.metric in _DETAIL_METRICS else f"{m.metric} · {m.scope}")
    return Bar(label=label, start=start, end=end, low=low, high=high, limit=limit)


def _how(found: Sequence[Measurement]) -> tuple[str, ...]:
    """Return how the group's numbers were made, each statement once."""
    said: dict[str, None] = {}
    for m in found:
        if m.interval:
            said[f"{words.level(m.interval)} for {words.name(m.metric)}"] = None
    for label, values in (
        ("seed", [m.seed for m in found]),
        ("quantization", [m.quantization for m in found]),
        ("device", [m.device for m in found]),
        ("items", [m.data_revision and f"sha256:{m.data_revision[:12]}" for m in found]),
    ):
        distinct = [words.name(v) for v in dict.fromkeys(values) if v is not None and v != ""]
        more = f" and {len(distinct) - 2} more" if len(distinct) > 2 else ""
        if distinct:
            said[f"{label} {', '.join(distinct[:2])}{more}"] = None
    return tuple(said)
