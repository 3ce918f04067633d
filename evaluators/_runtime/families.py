"""From families of a suite to measurements: asks unit by unit until the gate has seen enough. Used by the evaluators of tasks."""

from __future__ import annotations

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
from evaluators._runtime.scoring import Asking, pairs
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
            yield _shard(planned, asking, ctx.evaluation.shard)
            return
        gate = _gate(families, planned, names, suite, ctx)
        _ask(planned, asking, gate)
        noise = asking.noise(planned[0]) if planned else None
    except SubjectError as error:
        yield refused(error)
        return
    yield from _tell(families, names, metrics, gate.judge(), noise, told.Source(model, composition, ctx))


def _ask(planned: Sequence[Unit], asking: Asking, gate: Gate) -> None:
    for unit in planned:
        if gate.open(unit.family):
            asking.ask(unit)
            gate.observe(unit.family, list(pairs(unit)))
        else:
            asking.skip(unit)


def _shard(planned: Sequence[Unit], asking: Asking, shard: tuple[int, int]) -> Coverage:
    index, of = shard
    mine = [u for u in planned if u.number % of == index]
    asking.total = sum(len(u.items) for u in mine)
    for unit in mine:
        asking.ask(unit)
    if mine and mine[0].number == 0:
        asking.noise(mine[0])
    reason = f"{len(mine)} of {len(planned)} units; the whole run draws the conclusions"
    return Coverage(item=f"shard {index + 1} of {of}", outcome=Reach.COMPLETED, reason=reason)


def _gate(
    families: Mapping[str, Sequence[Item]],
    planned: Sequence[Unit],
    names: Mapping[str, Sequence[str]],
    suite: Suite,
    ctx: RunContext,
) -> Gate:
    plans = {}
    for family, items in families.items():
        mine = [u for u in planned if u.family == family]
        largest = max(len(cluster) for unit in mine for cluster in unit.clusters)
        plans[family] = Plan(_margin(family, names[family], suite, ctx), len(items), largest, len(mine))
    return Gate(plans, stop_early=ctx.evaluation.stop_early, seed=ctx.seed)


def _tell(
    families: Mapping[str, Sequence[Item]],
    names: Mapping[str, Sequence[str]],
    metrics: Metrics,
    judged: Mapping[str, Judgement],
    noise: Noise | None,
    source: told.Source,
) -> Iterator[Measurement | Coverage]:
    for family, judgement in judged.items():
        asked = [i for i in families[family] if len(i.rows) == 2]
        for scope in names[family]:
            yield told.family(metrics.family, scope, family, judgement, noise, asked, source)
        change = told.margins(metrics.margin, names[family][0], family, asked, source)
        if change is not None:
            yield change
    yield from _tasks(families, metrics, judged, source)


def _tasks(
    families: Mapping[str, Sequence[Item]], metrics: Metrics, judged: Mapping[str, Judgement], source: told.Source
) -> Iterator[Measurement | Coverage]:
    """Yield each task by itself; all of them together are one set of claims, which Holm corrects."""
    whole: list[tuple[str, list[Item], Comparison]] = []
    for family, judgement in judged.items():
        by_task: dict[str, list[Item]] = {}
        for item in families[family]:
            by_task.setdefault(item.questions.name, []).append(item)
        for name, items in by_task.items():
            asked = [i for i in items if len(i.rows) == 2]
            if asked:
                scored = _pairs(asked)
                whole.append((family, asked, compare(scored, judgement.comparison.margin, source.ctx.seed)))
            reason = "" if len(asked) == len(items) else f"{len(asked)} of {len(items)} items: {family} was {judgement.stopped}"
            yield Coverage(item=name, outcome=Reach.COMPLETED, reason=reason)
    for (family, asked, comparison), verdict in zip(whole, verdicts([c for _, _, c in whole]), strict=True):
        # Where the family stopped is no moment that a test of one of its tasks was planned for.
        stopped = judged[family].comparison.n < judged[family].items
        reached: Outcome = "inconclusive" if stopped else verdict
        yield told.task(metrics.task, family, comparison, reached, judged[family], asked, source)


def _pairs(items: Sequence[Item]) -> list[Pair]:
    sizes: dict[int, int] = {}
    for item in items:
        sizes[item.cluster] = sizes.get(item.cluster, 0) + 1
    return [Pair(i.score("base"), i.score("adapter"), str(i.cluster) if sizes[i.cluster] > 1 else None) for i in items]


def _margin(family: str, scopes: Sequence[str], suite: Suite, ctx: RunContext) -> float:
    """Return the policy's margin for a family, else the suite's, else the policy's for general skills."""
    for name in (family, *scopes):
        if name in ctx.margins:
            return ctx.margins[name]
    return suite.families[family].margin or ctx.margins.get(GENERAL, _MARGIN)
