"""From families of a suite to measurements: asks unit by unit until the gate has seen enough. Used by the evaluators of tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evaluators._gate.gate import Gate, Judgement, Plan
from evaluators._gate.noise import Noise
from evaluators._gate.paired import Comparison, Outcome, Pair, compare, verdicts
from evaluators._items import sources
from evaluators._items.suites import GENERAL, Suite
from evaluators._model.home import resident
from evaluators._model.resident import Resident
from evaluators._runtime import told
from evaluators._runtime.items import Item, Unit, build, units
from evaluators._runtime.scoring import Asking, ask_shard, pairs
from governance.context import RunContext
from governance.errors import LimitError, SubjectError
from governance.evidence import Coverage, Measurement
from governance.evidence import Outcome as Reach
from governance.subject import Composition

_MARGIN = 0.05


@dataclass(frozen=True)
class Metrics:
    """Names of what an evaluator of tasks yields: one number per family, per task, and the change of the margin."""

    family: str
    task: str
    margin: str


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
    metrics: Metrics,
    plugin: str,
    composition: Composition,
    ctx: RunContext,
) -> Iterator[Measurement | Coverage]:
    """Ask families of a suite and yield what came out.

    Args:
        suite: Holds the families.
        names: Family, and the scopes its number is given under.
        metrics: What the numbers are called.
        plugin: Id of the evaluator.
        composition: What is asked.
        ctx: Everything handed down. With a shard only its units are asked, and nothing is concluded.

    Yields:
        One measurement per family and scope, one per task, the change of the margin, and coverage of each task.
    """
    model = open_model(composition, ctx)
    if isinstance(model, Coverage):
        yield model
        return
    families, gaps = build((q for family in names for q in sources.questions(suite, family, ctx)), model, ctx)
    yield from gaps
    planned = units(families, ctx.seed)
    asking = Asking(model, ctx, plugin, sum(len(u.items) for u in planned))
    try:
        if ctx.evaluation.shard is not None:
            yield ask_shard(planned, asking, ctx.evaluation.shard)
            if planned and ctx.evaluation.shard[0] == 0:
                asking.noise(planned[0])
            return
        limits = {f: _margin(f, names[f], suite, ctx) for f in families}
        gate = _gate(planned, limits, ctx)
        _ask(planned, asking, gate)
        noise = asking.noise(planned[0]) if planned else None
    except SubjectError as error:
        yield refused(error)
        return
    source, judged = told.Source(model, composition, ctx), gate.judge()
    yield from _families(families, names, metrics, judged, noise, source)
    yield from _tasks(families, metrics, limits, judged, source)


def _ask(planned: Sequence[Unit], asking: Asking, gate: Gate) -> None:
    for unit in planned:
        if gate.open(unit.family):
            asking.ask(unit)
            scored = list(pairs(unit))
            if scored:
                gate.observe(unit.family, scored)
        else:
            asking.skip(unit)


def _gate(planned: Sequence[Unit], margins: Mapping[str, float], ctx: RunContext) -> Gate:
    """Return the gate over the families that have a number; what only stands beside one is asked in full."""
    plans = {}
    for family, margin in margins.items():
        mine = [u for u in planned if u.family == family]
        sizes = [n for u in mine for c in u.clusters if (n := sum(i.questions.pooled for i in c))]
        if sizes:
            plans[family] = Plan(margin, sum(sizes), max(sizes), len(mine))
    return Gate(plans, stop_early=ctx.evaluation.stop_early, seed=ctx.seed)


def _families(
    families: Mapping[str, Sequence[Item]],
    names: Mapping[str, Sequence[str]],
    metrics: Metrics,
    judged: Mapping[str, Judgement],
    noise: Noise | None,
    source: told.Source,
) -> Iterator[Measurement | Coverage]:
    for family, judgement in judged.items():
        asked = [i for i in families[family] if len(i.rows) == 2 and i.questions.pooled]
        for scope in names[family]:
            yield told.family(metrics.family, scope, family, judgement, noise, asked, source)
        change = told.margins(metrics.margin, names[family][0], family, asked, source)
        if change is not None:
            yield change


def _tasks(
    families: Mapping[str, Sequence[Item]],
    metrics: Metrics,
    limits: Mapping[str, float],
    judged: Mapping[str, Judgement],
    source: told.Source,
) -> Iterator[Measurement | Coverage]:
    """Yield each task by itself; all of them together are one set of claims, which Holm corrects."""
    whole: list[tuple[str, list[Item], Comparison]] = []
    for family, members in families.items():
        by_task: dict[str, list[Item]] = {}
        for item in members:
            by_task.setdefault(item.questions.name, []).append(item)
        for name, items in by_task.items():
            asked = [i for i in items if len(i.rows) == 2]
            if asked:
                whole.append((family, asked, compare(_pairs(asked), limits[family], source.ctx.seed)))
            cut = len(asked) < len(items)
            reason = f"{len(asked)} of {len(items)} items: {family} was {judged[family].stopped}" if cut else ""
            yield Coverage(item=name, outcome=Reach.COMPLETED, reason=reason)
    for (family, asked, comparison), verdict in zip(whole, verdicts([c for _, _, c in whole]), strict=True):
        # Where the family stopped is no moment that a test of one of its tasks was planned for.
        judgement = judged.get(family)
        early = judgement.stopped if judgement is not None and judgement.comparison.n < judgement.items else ""
        reached: Outcome = "inconclusive" if early else verdict
        yield told.task(metrics.task, family, comparison, reached, early, asked, source)


def _pairs(items: Sequence[Item]) -> list[Pair]:
    sizes = Counter(i.cluster for i in items)
    return [i.pair(together=sizes[i.cluster] > 1) for i in items]


def _margin(family: str, scopes: Sequence[str], suite: Suite, ctx: RunContext) -> float:
    """Return the policy's margin for a family, else the suite's, else the policy's for general skills."""
    for name in (family, *scopes):
        if name in ctx.margins:
            return ctx.margins[name]
    return suite.families[family].margin or ctx.margins.get(GENERAL, _MARGIN)
