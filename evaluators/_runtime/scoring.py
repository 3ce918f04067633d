"""Asks base and adapter the same questions and pairs their scores item by item. Used by the evaluators of tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluators._engine.lm import CuratorLM
from evaluators._gate.paired import Pair
from evaluators._items import fit, rows, tasks
from evaluators._items.tasks import Answer, Questions
from evaluators._model.resident import Resident, Which
from governance.context import Progress, RunContext
from governance.errors import PluginError, SubjectError
from governance.evidence import Coverage, ItemRow, Outcome

_BOTH: tuple[Which, Which] = ("base", "adapter")


@dataclass
class _Item:
    """One item on its way."""

    questions: Questions
    task: Any
    key: str
    instances: Sequence[Any]
    group: str | None
    numbers: range
    answers: dict[int, Answer] = field(default_factory=dict)
    scores: dict[Which, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """One task, answered by both.

    Attributes:
        questions: What was asked.
        keys: Item keys, in the order of ``pairs``.
        pairs: Scores of each item.
        documents: The items themselves.
    """

    questions: Questions
    keys: tuple[str, ...]
    pairs: tuple[Pair, ...]
    documents: tuple[Any, ...] = ()


def score(asked: Iterable[Questions | Coverage], model: Resident, ctx: RunContext, plugin: str) -> list[Scored | Coverage]:
    """Ask base, then adapter; rows that are kept already are not asked again.

    Args:
        asked: Tasks, and what cannot be asked.
        model: Answers.
        ctx: Gives kept rows, takes fresh ones and progress.
        plugin: Id of the evaluator, for progress.

    Returns:
        For each task its pairs, or why there are none.
    """
    found: list[Scored | Coverage] = []
    items: list[_Item] = []
    order: list[Questions] = []
    for questions in asked:
        if isinstance(questions, Coverage):
            found.append(questions)
            continue
        try:
            made, misfits = _items(questions, model, ctx, first=items[-1].numbers.stop if items else 0)
            items.extend(made)
            found.extend(misfits)
            order.extend([questions] if made else [])
        except (PluginError, *tasks.TROUBLE) as error:
            found.append(Coverage(item=questions.name, outcome=Outcome.FAILED, reason=str(error)[:400]))
    for turn, which in enumerate(_BOTH):
        _ask(items, model, which, ctx, lambda done, total, turn=turn: _tell(ctx, plugin, turn * total + done, 2 * total))
    for questions in order:
        mine = [i for i in items if i.questions is questions]
        pairs = tuple(Pair(i.scores["base"], i.scores["adapter"], i.group) for i in mine)
        found.append(Scored(questions, tuple(i.key for i in mine), pairs, tuple(i.instances[0].doc for i in mine)))
    return found


def coverage(scored: Scored) -> Coverage:
    """Return that a task was asked in full."""
    return Coverage(item=scored.questions.name, outcome=Outcome.COMPLETED)


def _items(questions: Questions, model: Resident, ctx: RunContext, first: int) -> tuple[list[_Item], list[Coverage]]:
    task = tasks.build(questions)
    limit = questions.limit if questions.documents is None else None
    found: list[_Item] = []
    misfits: list[Coverage] = []
    for number, instances in tasks.requests(task, limit).items():
        reason = fit.misfit(instances, model.encode, model.max_length)
        if reason:
            name = f"{questions.name}, item {number + 1}"
            misfits.append(Coverage(item=name, outcome=Outcome.SKIPPED, reason=reason))
            continue
        key, group = rows.item_key(questions, instances), rows.group_of(questions, instances)
        numbers = range(first, first + len(instances))
        found.append(_Item(questions, task, key, instances, group, numbers))
        first = numbers.stop
    if not found and not misfits:
        raise PluginError(f"the task {questions.name} has no items")
    return found, misfits


def _ask(items: list[_Item], model: Resident, which: Which, ctx: RunContext, tick: Any) -> None:
    """Answer every item with one model, and keep each row as soon as it is whole."""
    key = model.model_key(which)
    kept = ctx.kept(key)
    requests = [r for item in items for r in item.instances]
    owner = {number: item for item in items for number in item.numbers}
    known: dict[int, Answer] = {}
    for item in items:
        item.answers = {}
        answers = rows.recall(kept[item.key], item.instances) if item.key in kept else None
        if answers is not None:
            known.update(zip(item.numbers, answers, strict=True))
            _conclude(item, answers, which)

    def ready(number: int, answer: Answer) -> None:
        item = owner[number]
        item.answers[number] = answer
        if len(item.answers) == len(item.numbers):
            answers = [item.answers[n] for n in item.numbers]
            ctx.keep(_conclude(item, answers, which, key))

    try:
        CuratorLM(model, which).answer(requests, known, ready, tick)
    except RuntimeError as error:
        raise SubjectError(f"the model fails on a plain question: {str(error)[:300]}") from error


def _conclude(item: _Item, answers: Sequence[Answer], which: Which, model_key: str = "") -> ItemRow:
    item.scores[which] = tasks.score(item.task, item.instances, answers, item.questions.score)
    return rows.make(model_key, item.key, item.questions, item.instances, answers, item.scores[which])


def _tell(ctx: RunContext, plugin: str, done: int, total: int) -> None:
    ctx.emit(Progress(step="evaluate", item=plugin, done=done, total=total, message="questions, in batches"))
