"""From scored items to measurements: one number per family and one per task. Used by the evaluators of tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evaluators._gate.paired import LEVEL, Comparison, Outcome, Pair, compare, verdicts
from evaluators._items import rows, sources
from evaluators._items.suites import GENERAL, Suite
from evaluators._model.resident import Resident, resident
from evaluators._runtime.scoring import Scored, coverage, score
from governance.context import RunContext
from governance.errors import LimitError, SubjectError
from governance.evidence import Coverage, Interval, Measurement
from governance.evidence import Outcome as Reach
from governance.subject import Composition, canonical_digest

_MARGIN = 0.05


def open_model(composition: Composition, ctx: RunContext) -> Resident | Coverage:
    """Return the model, or why this composition cannot be measured."""
    try:
        return resident(composition, ctx)
    except (SubjectError, LimitError) as error:
        return refused(error)


def refused(error: SubjectError | LimitError) -> Coverage:
    """Return a composition that cannot be measured as a gap with its reason."""
    return Coverage(item="composition", outcome=Reach.FAILED, reason=" — ".join(filter(None, (error.message, error.hint))))


def measure(
    suite: Suite,
    names: Mapping[str, Sequence[str]],
    metrics: tuple[str, str],
    plugin: str,
    composition: Composition,
    ctx: RunContext,
) -> Iterator[Measurement | Coverage]:
    """Ask families of a suite and yield what came out.

    Args:
        suite: Holds the families.
        names: Family, and the scopes its number is given under.
        metrics: Metric of a family, metric of a task.
        plugin: Id of the evaluator.
        composition: What is asked.
        ctx: Everything handed down.

    Yields:
        One measurement per family and scope, one per task, and coverage of each task.
    """
    model = open_model(composition, ctx)
    if isinstance(model, Coverage):
        yield model
        return
    asked = [q for family in names for q in sources.questions(suite, family, ctx)]
    try:
        results = score(asked, model, ctx, plugin)
    except SubjectError as error:
        yield refused(error)
        return
    scored = [r for r in results if isinstance(r, Scored)]
    yield from (r for r in results if isinstance(r, Coverage))
    families = {f: mine for f in names if (mine := [s for s in scored if s.questions.family == f and s.questions.pooled])}
    pooled = {f: compare(_pairs(mine), _margin(f, names[f], suite, ctx), ctx.seed) for f, mine in families.items()}
    for (family, comparison), verdict in zip(pooled.items(), verdicts(list(pooled.values())), strict=True):
        for scope in names[family]:
            yield _measurement(metrics[0], scope, family, comparison, verdict, families[family], model, composition, ctx)
    for task in scored:
        comparison = compare(task.pairs, _margin(task.questions.family, (), suite, ctx), ctx.seed)
        verdict = verdicts([comparison])[0]
        yield _measurement(
            metrics[1], task.questions.name, task.questions.family, comparison, verdict, [task], model, composition, ctx
        )
        yield coverage(task)


def _margin(family: str, scopes: Sequence[str], suite: Suite, ctx: RunContext) -> float:
    """Return the policy's margin for a family, else the suite's, else the policy's for general skills."""
    for name in (family, *scopes):
        if name in ctx.margins:
            return ctx.margins[name]
    return suite.families[family].margin or ctx.margins.get(GENERAL, _MARGIN)


def _pairs(scored: Sequence[Scored]) -> list[Pair]:
    return [p for s in scored for p in s.pairs]


def _measurement(
    metric: str,
    scope: str,
    family: str,
    comparison: Comparison,
    verdict: Outcome,
    scored: Sequence[Scored],
    model: Resident,
    composition: Composition,
    ctx: RunContext,
) -> Measurement:
    details: dict[str, float | int | str] = {
        "family": family,
        "lost": comparison.lost,
        "gained": comparison.gained,
        "clusters": comparison.clusters,
        "p-degraded": comparison.p_degraded,
        "statistic": round(comparison.statistic, 6),
        "tasks": ", ".join(s.questions.name for s in scored),
        "origin": ", ".join(sorted({s.questions.origin for s in scored})),
    }
    if comparison.needed is not None:
        details["needed-n"] = comparison.needed
    keys = [model.model_key("base"), model.model_key("adapter")]
    triples = [(k, p.base, p.adapter) for s in scored for k, p in zip(s.keys, s.pairs, strict=True)]
    return Measurement(
        metric=metric,
        scope=scope,
        value=comparison.difference,
        unit="1",
        n=comparison.n,
        interval=Interval(low=comparison.low, high=comparison.high, level=LEVEL, method=comparison.method),
        verdict=verdict,
        margin=comparison.margin,
        base_value=comparison.base,
        adapter_value=comparison.adapter,
        details=details,
        seed=ctx.seed,
        data_revision=canonical_digest(sorted(k for s in scored for k in s.keys)),
        quantization=str(composition.quantization),
        device=model.kernel_path,
        versions=model.versions,
        rows=rows.digest(keys, triples),
    )
