"""Measurements as people read them: grouped, base beside adapter, with interval, margin and n.

Made from ``Measurement`` facts; read by ``reports._render.view`` and ``reports._render.charts``. A metric nobody here has
heard of is shown under its own id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from governance.evidence import Measurement
from reports._render import words
from reports._render.drawn import Bar, Difference, bars, differences, is_detail, is_difference, spoken, tone
from reports._render.examples import ItemChange, changed_items

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
#: Evaluator → the group of its further metrics.
_PLUGINS = {
    "retention": "Kept abilities",
    "domain-skill": "Skill in the claimed domain",
    "perplexity": "Language modelling",
    "backdoor": "Backdoor probe",
}
_OTHER = "Other measurements"
_SUMMARIES = {
    "Kept abilities": "Whether the adapter still does what its base does, on the same items.",
    "Skill in the claimed domain": "Whether the adapter is at least as good as its base at what it is for.",
    "Language modelling": "How well held-out text is predicted, and how far the adapter's predictions moved.",
    "Backdoor probe": "Whether some string makes the adapter change its behaviour where the base does not.",
    _OTHER: "",
}


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
    changed: tuple[ItemChange, ...]


@dataclass(frozen=True, slots=True)
class MeasuredGroup:
    """Measurements that answer one question."""

    id: str
    title: str
    summary: str
    rows: tuple[MeasuredRow, ...]
    differences: tuple[Difference, ...]
    spoken: str
    bars: tuple[Bar, ...]
    how: tuple[str, ...]


def group_measurements(measurements: Iterable[Measurement]) -> tuple[MeasuredGroup, ...]:
    """Return the groups that hold anything, in a fixed order, the measurements of each in the order they were made."""
    sorted_in: dict[str, list[Measurement]] = {title: [] for title in _SUMMARIES}
    for measurement in measurements:
        group = _GROUPS.get(measurement.metric) or _PLUGINS.get(measurement.plugin, _OTHER)
        sorted_in[group].append(measurement)
    return tuple(_group(title, found) for title, found in sorted_in.items() if found)


def _group(title: str, found: Sequence[Measurement]) -> MeasuredGroup:
    ordered = sorted(found, key=is_detail)
    drawn = differences(ordered)
    return MeasuredGroup(
        id=title.lower().replace(" ", "-"),
        title=title,
        summary=_SUMMARIES[title],
        rows=tuple(_row(m) for m in ordered),
        differences=drawn,
        spoken=spoken(drawn),
        bars=bars(ordered),
        how=_how(ordered),
    )


def _row(m: Measurement) -> MeasuredRow:
    difference = is_difference(m)
    show = words.signed if difference else words.number
    return MeasuredRow(
        metric=words.name(m.metric),
        what=_what(m),
        is_detail=is_detail(m),
        base="" if m.base_value is None else words.number(m.base_value),
        adapter="" if m.adapter_value is None else words.number(m.adapter_value),
        value=show(m.value, m.unit),
        is_difference=difference,
        interval="" if m.interval is None else words.interval(m.interval, sign=difference),
        method="" if m.interval is None else words.level(m.interval),
        margin="" if m.margin is None else words.number(m.margin),
        n=m.n,
        verdict=words.name(m.verdict or ""),
        tone=tone(m),
        details=tuple((words.name(k), _detail(v)) for k, v in m.details.items()),
        changed=changed_items(m),
    )


def _what(m: Measurement) -> str:
    called = words.METRICS.get(m.metric, words.name(m.metric))
    scope = words.name(m.scope)
    return scope if called == "task" else f"{called[:1].upper()}{called[1:]} — {scope}" if scope else called


def _detail(value: float | int | str) -> str:
    return words.number(value) if isinstance(value, float) else words.visible(value)


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
