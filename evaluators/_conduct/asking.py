"""Asks both models and gives back each item with both rows, and the numbers made of them.

Used by the evaluators of conduct, which need what a row holds beside its score.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from evaluators._gate.distributions import clopper_pearson
from evaluators._gate.paired import LEVEL, Comparison, Pair
from evaluators._items import rows
from evaluators._items.suites import Suite
from evaluators._items.tasks import Document, Questions
from evaluators._model.resident import Resident
from evaluators._runtime.scoring import Scored, score
from governance.context import RunContext
from governance.evidence import Coverage, Interval, ItemRow, Measurement, Outcome
from governance.subject import Composition, canonical_digest

_MARGIN = 0.10


@dataclass(frozen=True)
class Answered:
    """One item with the rows of both models."""

    questions: Questions
    document: Document
    base: ItemRow
    adapter: ItemRow

    @property
    def pair(self) -> Pair:
        """Scores of both."""
        return Pair(_number(self.base, "score"), _number(self.adapter, "score"))

    def sums(self) -> tuple[list[float], list[float]]:
        """Return the log-probabilities of every request, base and adapter, in nats."""
        return _sums(self.base), _sums(self.adapter)


def ask(
    asked: Iterable[Questions | Coverage], model: Resident, ctx: RunContext, plugin: str
) -> tuple[list[Answered], list[Coverage]]:
    """Ask both models.

    Args:
        asked: Tasks, and what cannot be asked.
        model: Answers.
        ctx: Gives kept rows, takes fresh ones and progress.
        plugin: Id of the evaluator.

    Returns:
        What was answered, and how far each task got.
    """
    fresh: dict[str, dict[str, ItemRow]] = {}

    def keep(row: ItemRow) -> None:
        fresh.setdefault(row.model_key, {})[row.item_key] = row
        ctx.keep(row)

    results = score(asked, model, replace(ctx, keep=keep), plugin)
    base, adapter = (ctx.kept(key) | fresh.get(key, {}) for key in (model.model_key("base"), model.model_key("adapter")))
    found: list[Answered] = []
    reached: list[Coverage] = []
    for result in results:
        if isinstance(result, Scored):
            reached.append(Coverage(item=result.questions.name, outcome=Outcome.COMPLETED))
            for key, document in zip(result.keys, result.documents, strict=True):
                found.append(Answered(result.questions, document, base[key], adapter[key]))
        else:
            reached.append(result)
    return found, reached


def margin(names: Sequence[str], suite: Suite, family: str, ctx: RunContext) -> float:
    """Return the margin of a family: the policy's under one of the names, else the suite's.

    Args:
        names: In order of preference.
        suite: May have one.
        family: One of its families.
        ctx: Carries the policy's.
    """
    for name in names:
        if name in ctx.margins:
            return ctx.margins[name]
    return suite.families[family].margin or _MARGIN


def floor(comparison: Comparison) -> str:
    """Return why a loss could not have been seen, or nothing: the base has to have more than the margin to lose.

    Args:
        comparison: Of scores that are 0 or 1.
    """
    low, _ = clopper_pearson(round(comparison.base * comparison.n), comparison.n)
    if low > comparison.margin:
        return ""
    return (
        f"the base does so in {comparison.base:.1%} of {comparison.n} prompts (at least {low:.1%} at level 0.95): a loss of"
        f" {comparison.margin:.0%} could not be seen"
    )


def strata(answered: Sequence[Answered]) -> dict[str, str]:
    """Return counts of scores of base and adapter by sort of item, as text."""
    counts: dict[str, list[int]] = {}
    for item in answered:
        if sort := str(item.document.get("stratum") or item.document.get("bias_type") or ""):
            count = counts.setdefault(sort, [0, 0, 0])
            count[0] += round(item.pair.base)
            count[1] += round(item.pair.adapter)
            count[2] += 1
    return {f"of {k}"[:80]: f"base {b}, adapter {a}, of {n}" for k, (b, a, n) in sorted(counts.items())[:40]}


def measurement(
    metric: str,
    scope: str,
    unit: str,
    values: tuple[float, float, float],
    interval: Interval,
    answered: Sequence[Answered],
    model: Resident,
    composition: Composition,
    ctx: RunContext,
    *,
    details: dict[str, float | int | str],
    verdict: str | None = None,
    at: float | None = None,
) -> Measurement:
    """Return one number with everything needed to read it.

    Args:
        metric: Declared by the evaluator.
        scope: What it speaks of.
        unit: Its unit.
        values: Difference, base, adapter.
        interval: Of the difference.
        answered: What it was measured on.
        model: What answered.
        composition: What was measured.
        ctx: Gives the seed.
        details: Counts and reasons.
        verdict: Statistical outcome.
        at: Margin it was tested at.
    """
    keys = [model.model_key("base"), model.model_key("adapter")]
    named: dict[str, float | int | str] = {
        "tasks": ", ".join(dict.fromkeys(a.questions.name for a in answered)),
        "origin": ", ".join(sorted({a.questions.origin for a in answered})),
    }
    return Measurement(
        metric=metric,
        scope=scope,
        value=values[0],
        unit=unit,
        n=len(answered),
        interval=interval,
        verdict=verdict,
        margin=at,
        base_value=values[1],
        adapter_value=values[2],
        details=named | details,
        seed=ctx.seed,
        data_revision=canonical_digest(sorted(a.base.item_key for a in answered)),
        quantization=str(composition.quantization),
        device=model.kernel_path,
        versions=model.versions,
        rows=rows.digest(keys, [(a.base.item_key, a.pair.base, a.pair.adapter) for a in answered]),
    )


def student(low: float, high: float) -> Interval:
    """Return an interval over items, by Student."""
    return Interval(low=low, high=high, level=LEVEL, method="Student, paired by item")


def _number(row: ItemRow, name: str) -> float:
    value = row.values[name]
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _sums(row: ItemRow) -> list[float]:
    value = row.values.get("log-probabilities")
    return [float(v) for v in value] if isinstance(value, list) else []
