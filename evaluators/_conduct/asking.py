"""Asks both models and gives back pairs of scores together with the rows behind them.

Used by the evaluators of conduct, which need what a row holds beside its score.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from evaluators._gate.distributions import clopper_pearson
from evaluators._gate.paired import LEVEL, Comparison
from evaluators._items import rows
from evaluators._items.suites import Suite
from evaluators._items.tasks import Document, Questions
from evaluators._model.resident import Resident, Which
from evaluators._runtime.scoring import Scored, score
from governance.context import RunContext
from governance.evidence import Coverage, Interval, ItemRow, Measurement
from governance.subject import Composition, canonical_digest

_BOTH: tuple[Which, Which] = ("base", "adapter")
_MARGIN = 0.10


@dataclass(frozen=True)
class Asked:
    """Tasks that were answered by both models.

    Attributes:
        scored: By task.
        model: Who answered.
        kept: Rows of base and adapter, by item key.
    """

    scored: tuple[Scored, ...]
    model: Resident
    kept: tuple[dict[str, ItemRow], dict[str, ItemRow]]

    def documents(self) -> dict[str, Document]:
        """Return the items by key, where a task brought its own."""
        found: dict[str, Document] = {}
        for task in self.scored:
            if task.questions.documents is not None and len(task.questions.documents) == len(task.keys):
                found.update(zip(task.keys, task.questions.documents, strict=True))
        return found


def ask(
    asked: Iterable[Questions | Coverage], model: Resident, ctx: RunContext, plugin: str
) -> tuple[Asked, list[Coverage]]:
    """Ask both models.

    Args:
        asked: Tasks, and what cannot be asked.
        model: Answers.
        ctx: Gives kept rows, takes fresh ones and progress.
        plugin: Id of the evaluator.

    Returns:
        What was answered, and what could not be asked.
    """
    fresh: dict[str, dict[str, ItemRow]] = {}

    def keep(row: ItemRow) -> None:
        fresh.setdefault(row.model_key, {})[row.item_key] = row
        ctx.keep(row)

    results = score(asked, model, replace(ctx, keep=keep), plugin)
    scored = tuple(r for r in results if isinstance(r, Scored))
    keys = {k for s in scored for k in s.keys}
    kept: list[dict[str, ItemRow]] = []
    for which in _BOTH:
        known = ctx.kept(model.model_key(which)) | fresh.get(model.model_key(which), {})
        kept.append({k: known[k] for k in keys if k in known})
    return Asked(scored, model, (kept[0], kept[1])), [r for r in results if isinstance(r, Coverage)]


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
    """Return why a loss could not have been seen, or nothing: the base has to have at least the margin to lose.

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


def strata(asked: Asked, tasks: Sequence[Scored]) -> dict[str, str]:
    """Return counts of base and adapter by sort of item, as text.

    Args:
        asked: Gives the items.
        tasks: Whose scores are counted.
    """
    documents = asked.documents()
    counts: dict[str, list[int]] = {}
    for task in tasks:
        for key, pair in zip(task.keys, task.pairs, strict=True):
            sort = str(documents.get(key, {}).get("stratum") or "")
            if sort:
                count = counts.setdefault(sort, [0, 0, 0])
                count[0] += round(pair.base)
                count[1] += round(pair.adapter)
                count[2] += 1
    return {f"of {k}": f"base {b}, adapter {a} of {n}" for k, (b, a, n) in sorted(counts.items())[:40]}


def measurement(
    metric: str,
    scope: str,
    unit: str,
    values: tuple[float, float, float],
    interval: Interval,
    tasks: Sequence[Scored],
    asked: Asked,
    composition: Composition,
    ctx: RunContext,
    *,
    n: int,
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
        tasks: What it was measured on.
        asked: Gives the model.
        composition: What was measured.
        ctx: Gives the seed.
        n: Items.
        details: Counts and reasons.
        verdict: Statistical outcome.
        at: Margin it was tested at.
    """
    model = asked.model
    triples = [(k, p.base, p.adapter) for s in tasks for k, p in zip(s.keys, s.pairs, strict=True)]
    named: dict[str, float | int | str] = {
        "tasks": ", ".join(s.questions.name for s in tasks),
        "origin": ", ".join(sorted({s.questions.origin for s in tasks})),
    }
    return Measurement(
        metric=metric,
        scope=scope,
        value=values[0],
        unit=unit,
        n=n,
        interval=interval,
        verdict=verdict,
        margin=at,
        base_value=values[1],
        adapter_value=values[2],
        details=named | details,
        seed=ctx.seed,
        data_revision=canonical_digest(sorted(k for s in tasks for k in s.keys)),
        quantization=str(composition.quantization),
        device=model.kernel_path,
        versions=model.versions,
        rows=rows.digest([model.model_key(w) for w in _BOTH], triples),
    )


def student(low: float, high: float) -> Interval:
    """Return an interval over items, by Student."""
    return Interval(low=low, high=high, level=LEVEL, method="Student, paired by item")
