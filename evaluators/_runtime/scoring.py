"""Asks base and adapter one unit of items after the other, and keeps each answer. Used by the evaluators of tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from evaluators._engine.lm import CuratorLM
from evaluators._gate import noise
from evaluators._gate.noise import Noise
from evaluators._gate.paired import Pair
from evaluators._items import rows, tasks
from evaluators._items.tasks import Answer, Questions
from evaluators._model.resident import Resident, Which
from evaluators._runtime.items import Item, Unit, build, units
from governance.context import Progress, RunContext
from governance.errors import SubjectError
from governance.evidence import Coverage, ItemRow, Outcome
from governance.subject import canonical_digest

BOTH: tuple[Which, Which] = ("base", "adapter")


@dataclass
class Asking:
    """Both models, and what is known of them.

    Attributes:
        model: Answers.
        ctx: Gives kept rows, takes fresh ones and progress.
        plugin: Id of the evaluator, for progress.
        total: Items of all units; each is asked twice.
    """

    model: Resident
    ctx: RunContext
    plugin: str
    total: int
    _kept: dict[str, dict[str, ItemRow]] = field(default_factory=dict)
    _done: int = 0

    def ask(self, unit: Unit) -> None:
        """Answer every item of a unit with base and adapter; rows that are kept already are not asked again.

        Raises:
            SubjectError: The model fails on a plain question.
        """
        for which in BOTH:
            self._answer(unit.items, which, self.model.model_key(which), unit.plan)
            self._done += len(unit.items)
            self._tell(0)

    def skip(self, unit: Unit) -> None:
        """Count a unit that nobody needs any more."""
        self.total -= len(unit.items)
        self._tell(0)

    def noise(self, first: Unit) -> Noise | None:
        """Ask the base some items again in other batches, once for all adapters, and return how far it is from itself.

        Args:
            first: Unit whose first items are asked; it may be unanswered, and then nothing is returned.
        """
        items = [Item(i.questions, i.task, i.key, i.instances, i.right, i.shares) for i in first.items[: noise.ITEMS]]
        key = canonical_digest([self.model.model_key("base"), "asked twice"])
        # Every second item apart: other neighbours, other lengths of padding, batches of another size.
        for part in (items[::2], items[1::2]):
            self._answer(part, "base", key, first.plan)
        once = {i.key: i.rows["base"] for i in first.items if "base" in i.rows}
        twice = [(i, once[i.key]) for i in items if i.key in once]
        return noise.measure(
            [rows.score_of(row) or 0.0 for _, row in twice],
            [i.score("base") for i, _ in twice],
            [a - b for i, row in twice for a, b in zip(_sums(i.rows["base"]), _sums(row), strict=True)],
        )

    def _answer(self, items: Sequence[Item], which: Which, key: str, plan: str) -> None:
        """Answer items as one plan, and keep each row as soon as it is whole."""
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = self.ctx.kept(key)
        known: dict[int, Answer] = {}
        owner: dict[int, tuple[Item, range]] = {}
        first = 0
        for item in items:
            numbers = range(first, first := first + len(item.instances))
            owner.update((n, (item, numbers)) for n in numbers)
            row = kept.get(item.key)
            answers = rows.recall(row, item.instances) if row is not None and rows.score_of(row) is not None else None
            if row is None or answers is None:
                kept.pop(item.key, None)
                continue
            item.rows[which] = row
            known.update(zip(numbers, answers, strict=True))
        if len(known) == first:
            return
        heard: dict[int, Answer] = {}

        def ready(number: int, answer: Answer) -> None:
            item, numbers = owner[number]
            heard[number] = answer
            if all(n in heard for n in numbers):
                answers = [heard[n] for n in numbers]
                score = tasks.score(item.task, item.instances, answers, item.questions.score)
                row = rows.make(key, item.key, item.questions, item.instances, answers, score, item.right, plan)
                # The same item may be asked twice, here or in a later unit: the first answer is the one that is kept.
                item.rows[which] = kept.setdefault(item.key, row)
                if item.rows[which] is row:
                    self.ctx.keep(row)

        requests = [r for item in items for r in item.instances]
        try:
            CuratorLM(self.model, which).answer(requests, known, ready, self._ticker(len(items)))
        except RuntimeError as error:
            raise SubjectError(f"the model fails on a plain question: {str(error)[:300]}") from error

    def _ticker(self, items: int) -> Callable[[int, int], None]:
        return lambda done, batches: self._tell(items * done // max(1, batches))

    def _tell(self, more: int) -> None:
        done, total = min(self._done + more, 2 * self.total), 2 * self.total
        self.ctx.emit(Progress(step="evaluate", item=self.plugin, done=done, total=total, message="questions, in batches"))


def ask_all(
    asked: Iterable[Questions | Coverage], model: Resident, ctx: RunContext, plugin: str
) -> tuple[list[Item], list[Coverage]]:
    """Ask both models everything, without a gate.

    Args:
        asked: Tasks, and what cannot be asked.
        model: Answers.
        ctx: Gives kept rows, takes fresh ones and progress. With a shard only its units are asked.
        plugin: Id of the evaluator, for progress.

    Returns:
        Items with the rows of both models, task by task in the order asked; and how far each task got. Of a shard no items,
        and that it was asked.

    Raises:
        SubjectError: The model fails on a plain question.
    """
    families, reached = build(asked, model, ctx)
    planned = units(families, ctx.seed)
    if ctx.evaluation.shard is not None:
        return [], [*reached, ask_shard(planned, Asking(model, ctx, plugin, 0), ctx.evaluation.shard)]
    asking = Asking(model, ctx, plugin, sum(len(u.items) for u in planned))
    for unit in planned:
        asking.ask(unit)
    found = [item for items in families.values() for item in items]
    reached += [Coverage(item=name, outcome=Outcome.COMPLETED) for name in dict.fromkeys(i.questions.name for i in found)]
    return found, reached


def ask_shard(planned: Sequence[Unit], asking: Asking, shard: tuple[int, int]) -> Coverage:
    """Ask the units of one shard, keep their rows, and say so.

    Args:
        planned: All units.
        asking: Both models.
        shard: Index, and of how many.
    """
    index, of = shard
    mine = [u for u in planned if u.number % of == index]
    asking.total = sum(len(u.items) for u in mine)
    for unit in mine:
        asking.ask(unit)
    reason = f"{len(mine)} of {len(planned)} units; the whole run draws the conclusions"
    return Coverage(item=f"shard {index + 1} of {of}", outcome=Outcome.COMPLETED, reason=reason)


def pairs(unit: Unit) -> Iterator[list[Pair]]:
    """Yield the scores of each cluster of an answered unit, without what stands beside its family."""
    for cluster in unit.clusters:
        counted = [i for i in cluster if i.questions.pooled]
        if counted:
            yield [i.pair(together=len(counted) > 1) for i in counted]


def _sums(row: ItemRow) -> list[float]:
    sums = row.values.get("log-probabilities")
    return [float(s) for s in sums] if isinstance(sums, list) else []
