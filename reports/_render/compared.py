"""An evaluation as one self-contained page: adapters side by side, then each with its numbers and changed items.

Made from an ``EvaluationDocument``; written by ``curator evaluate --format html``. The parts are those of a scorecard's page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from governance.evaluation import Evaluated, EvaluationDocument, Identity
from governance.evidence import Measurement
from reports._render import words
from reports._render.drawn import Bar, Difference, Tone, bars, differences, spoken
from reports._render.measured import MeasuredGroup, group_measurements
from reports._render.page import filled, framed

_TONES: dict[str, Tone] = {"retained": "good", "degraded": "bad"}
_PAGES = {"retained": "approve", "degraded": "reject"}
_MEANINGS = {
    "retained": "Every family of every adapter is retained: a loss as large as the margin is ruled out.",
    "degraded": "At least one adapter has lost more than the margin allows.",
    "open": "Nothing was shown to be lost, and not everything is settled: more items, or a person, have to decide.",
}


@dataclass(frozen=True, slots=True)
class Side:
    """One claim, asked of every adapter."""

    title: str
    family: str
    spoken: str
    differences: tuple[Difference, ...]
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class AdapterRow:
    """One adapter."""

    name: str
    base: str
    standing: str
    tone: Tone
    took: str
    claims: tuple[str, ...]
    groups: tuple[MeasuredGroup, ...]
    identity: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class GapRow:
    """One thing that was not measured."""

    adapter: str
    check: str
    item: str
    reason: str


@dataclass(frozen=True, slots=True)
class Compared:
    """Everything a person is shown."""

    title: str
    tone: str
    meaning: str
    suite: str
    created: str
    run_id: str
    sides: tuple[Side, ...]
    adapters: tuple[AdapterRow, ...]
    gaps: tuple[GapRow, ...]
    not_asked: tuple[tuple[str, str], ...]
    made_with: tuple[tuple[str, str], ...]
    word: str = "Evaluation"


def evaluation_page(found: EvaluationDocument) -> bytes:
    """Return the page as UTF-8 HTML; it asks no other address for anything.

    Args:
        found: The document; its strings may be hostile.
    """
    v = compared(found)
    drawn = {f"side-{place}": (s.differences, s.bars) for place, s in enumerate(v.sides, 1)}
    drawn |= {
        f"adapter-{place}-{g.id}": (g.differences, g.bars) for place, a in enumerate(v.adapters, 1) for g in a.groups
    }  # fmt: skip
    return framed(v, filled("compared.html", v, drawn))


def compared(found: EvaluationDocument) -> Compared:
    """Return the evaluation as rows and words."""
    asked = {
        (m.metric, _family(m)): f"{words.METRICS.get(m.metric, words.name(m.metric))}: {words.name(_family(m))}"
        for one in found.adapters
        for m in one.claims()
    }
    bases = {one.base.digest: short_name(one.base) for one in found.adapters if one.base is not None}
    standings = {one.standing() for one in found.adapters}
    overall = "degraded" if "degraded" in standings else "retained" if standings == {"retained"} else "open"
    return Compared(
        title=f"{words.count(len(found.adapters), 'adapter')} on {', '.join(bases.values()) or 'no base'}",
        tone=_PAGES.get(overall, "review"),
        meaning=_MEANINGS[overall],
        suite=words.name(found.suite),
        created=f"{found.created:%Y-%m-%d %H:%M} UTC",
        run_id=words.name(found.run_id),
        sides=tuple(_side(title, key, found.adapters) for key, title in asked.items()),
        adapters=tuple(_adapter(one, list(asked)) for one in found.adapters),
        gaps=tuple(
            GapRow(label(one), words.name(g.check), words.name(g.item), words.visible(g.reason))
            for one in found.adapters
            for g in one.gaps()
        ),
        not_asked=words.pairs(found.not_asked),
        made_with=words.pairs(dict(_made_with(found))),
    )


def label(one: Evaluated) -> str:
    """Return what an adapter is called: its Hub name, or its folder's own name."""
    return short_name(one.adapter) if one.adapter is not None else words.name(one.asked)


def short_name(model: Identity) -> str:
    """Return a Hub name with the start of its commit, or a folder's own name without the way to it."""
    if model.commit is not None:
        return f"{words.name(model.name)}@{model.commit[:7]}"
    return words.name(PurePosixPath(model.name).name or model.name)


def _family(m: Measurement) -> str:
    return str(m.details.get("family", m.scope))


def _claim(one: Evaluated, key: tuple[str, str]) -> Measurement | None:
    return next((m for m in one.claims() if (m.metric, _family(m)) == key), None)


def _side(title: str, key: tuple[str, str], adapters: Iterable[Evaluated]) -> Side:
    """Return one claim of all adapters, each under the adapter's name."""
    drawn: list[Difference] = []
    dots: list[Bar] = []
    for one in adapters:
        claim = _claim(one, key)
        if claim is not None:
            drawn += [replace(d, label=label(one)) for d in differences([claim])]
            dots += [replace(b, label=label(one)) for b in bars([claim])]
    return Side(title[:1].upper() + title[1:], words.name(key[1]), spoken(drawn), tuple(drawn), tuple(dots))


def _adapter(one: Evaluated, asked: Sequence[tuple[str, str]]) -> AdapterRow:
    claims = [_claim(one, key) for key in asked]
    models = {"adapter": one.adapter, "base": one.base}
    identity = [(f"{role} SHA-256", model.digest) for role, model in models.items() if model is not None]
    return AdapterRow(
        name=label(one),
        base=short_name(one.base) if one.base is not None else "",
        standing=one.standing().replace("-", " "),
        tone=_TONES.get(one.standing(), "open"),
        took=f"{words.seconds(one.costs.seconds)}, {one.costs.answered} asked, {one.costs.from_rows} known",
        claims=tuple("" if m is None else f"{words.signed(m.value, m.unit)} {words.name(m.verdict or '')}" for m in claims),
        groups=group_measurements(one.measurements),
        identity=words.pairs(dict([*identity, ("composition", one.composition or "none")])),
    )


def _made_with(found: EvaluationDocument) -> Iterable[tuple[str, str]]:
    yield "model curator", found.curator_version
    yield "seed", str(found.seed)
    yield "margins", ", ".join(f"{k} {v:g}" for k, v in found.margins.items()) + f" (policy {found.policy})"
    yield "evaluators", ", ".join(found.asked)
    yield "settings", found.settings.model_dump_json(exclude_defaults=True)
    yield "kernels", "; ".join(found.kernel_paths) or "no model was run"
    yield "libraries", ", ".join(f"{k} {v}" for k, v in found.versions.items())
    yield "time", words.seconds(found.seconds)
