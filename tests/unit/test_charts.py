"""Drawings of measurements: what is drawn, where, and that it stays harmless and the same."""

from __future__ import annotations

import math
import re

import pytest

from governance.evidence import Example, Interval, Measurement
from reports._render.charts import MOST_BARS, dots_chart, forest_chart
from reports._render.drawn import Difference, bars, differences, spoken
from reports._render.page import body
from tests import scorecards

HOSTILE = '<script>alert(1)</script>"&'


def family(
    name: str = "general", *, base: float = 0.6, adapter: float = 0.5, verdict: str = "degraded", **more: object
) -> Measurement:
    value = adapter - base
    shape: dict[str, object] = {
        "metric": "retention", "scope": name, "value": value, "unit": "1", "n": 200, "base_value": base, "adapter_value": adapter,
        "interval": Interval(low=value - 0.04, high=value + 0.04, method="Tango"), "margin": 0.05, "verdict": verdict,
    }  # fmt: skip
    return Measurement.model_validate(shape | more)


def row(value: float, *, tone: str = "good", limit: float | None = -0.05, label: str = "general") -> Difference:
    outcome = {"good": "retained", "bad": "degraded", "open": "inconclusive"}[tone]
    return Difference(label, value, value - 0.02, value + 0.02, limit, outcome, tone, False)  # type: ignore[arg-type]


def places(svg: str, role: str) -> list[float]:
    """Return the horizontal places of the marks of one kind, in drawing order."""
    found: list[float] = []
    for group in re.findall(rf'<g class="mark-{role} role-mark[^"]*"[^>]*>(.*?)</g>', svg, re.DOTALL):
        found += [float(x) for x in re.findall(r'transform="translate\((-?[\d.]+),', group)]
    return found


def test_a_difference_stands_left_of_the_margin_only_if_it_is_a_larger_loss() -> None:
    svg = forest_chart([row(-0.10, tone="bad"), row(-0.01)])
    worse, better = sorted(places(svg, "symbol"))
    lines = places(svg, "rule")
    zero, margin = (max(lines), next(x for x in sorted(lines) if worse < x < better))
    assert worse < margin < better < zero


def test_each_outcome_has_its_own_shape_and_its_word() -> None:
    shapes = []
    for tone, word in (("good", "retained"), ("bad", "degraded"), ("open", "inconclusive")):
        svg = forest_chart([row(-0.03, tone=tone)])
        assert word in svg
        shapes.append(re.search(r'role-mark[^>]*><path[^>]*transform="translate[^>]*d="([^"]+)"', svg))
    paths = {re.sub(r"-?[\d.]+", "n", m.group(1)) for m in shapes if m}
    assert len(paths) == 3, "a reader who sees no color can tell them apart"


def test_one_margin_is_a_line_and_several_are_ticks() -> None:
    assert "stroke-dasharray" in forest_chart([row(0.0), row(-0.1)])
    several = forest_chart([row(0.0), row(-0.1, limit=-0.02)])
    assert "stroke-dasharray" not in several
    assert several.count("mark-rect") >= 1


@pytest.mark.parametrize("draw", [lambda d: forest_chart(differences(d)), lambda d: dots_chart(bars(d))])
def test_a_chart_is_the_same_twice_and_holds_nothing_active(draw) -> None:
    found = [family(HOSTILE), family("other", verdict="retained", adapter=0.6)]
    svg = draw(found)
    assert svg == draw(found)
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg
    for active in (" style=", "href", "onload", "url(", "<image", "<foreignObject"):
        assert active not in svg, active


def test_nothing_that_is_no_number_is_drawn() -> None:
    broken = family(value=math.nan, adapter_value=math.nan)
    assert differences([broken]) == ()
    assert bars([broken]) == ()
    assert forest_chart([]) == dots_chart([]) == ""


def test_a_family_under_two_scopes_is_drawn_once_and_tasks_follow() -> None:
    found = [
        family("reading", metric="domain-task", details={"family": "medical"}),
        family("medical", metric="domain-skill", details={"family": "medical"}),
        family("domain", metric="domain-skill", details={"family": "medical"}),
    ]
    assert [(d.label, d.is_detail) for d in differences(found)] == [("domain-skill · medical", False), ("reading", True)]
    assert [b.label for b in bars(found)].count("domain-skill · medical") == 1


def test_a_loss_lies_on_the_side_of_the_metric() -> None:
    up, down = differences([family(), family(metric="bits-per-byte")])[0], differences([family(metric="bits-per-byte")])[0]
    assert (up.limit, down.limit) == (-0.05, 0.05)


def test_outcomes_are_counted_in_words() -> None:
    assert spoken([row(0.0), row(0.0), row(-0.2, tone="bad")]) == "1 degraded, 2 retained"
    assert len(re.findall("general", forest_chart([row(0.0)] * (MOST_BARS + 3)))) == MOST_BARS


def test_the_page_shows_lost_items_with_both_answers_and_shows_them_escaped() -> None:
    said = {"question": f"When? {HOSTILE}", "gold": "at seven", "base": "at seven", "adapter": "\u202enoon"}
    example = Example(item="a" * 64, task="reading", change="lost", **said)
    card = scorecards.review()
    dossier = card.dossier
    measured = [m.model_copy(update={"examples": (example,)}) if m.metric == "retention" else m for m in dossier.measurements]
    page = body(card.model_copy(update={"dossier": dossier.model_copy(update={"measurements": tuple(measured)})}))
    assert "1 lost and 0 gained shown" in page
    assert "alert(1)" in page
    assert "<script" not in page
    assert "\u202e" not in page
    assert "⟨U+202E⟩noon" in page
