"""One task in memory: its items, where they come from, and the lm-eval task that prompts and scores them.

Made by ``evaluators._items.sources``; asked by ``evaluators._runtime.scoring``. No index of the library's 14,000 tasks is
built, and no copy of a data set is written.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from governance.errors import PluginError

if TYPE_CHECKING:
    from lm_eval.api.task import Task

#: The first of these that a task reports is its score for one item.
_SCORES = ("acc", "exact_match", "acc_norm", "f1", "em", "acc_bytes")
#: What a task's definition raises when it and its data do not fit.
TROUBLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, RuntimeError, ImportError, AssertionError)

Document = Mapping[str, JsonValue]
#: What a request is answered with: sum of log-probabilities and greedy flag, a sum alone (rolling), or a text.
Answer = tuple[float, bool] | float | str


@dataclass(frozen=True)
class Questions:
    """Items of one task, and how they are asked.

    Attributes:
        name: Id of the task.
        family: What it is pooled into.
        version: Of the definition.
        digest: SHA-256 of the data.
        origin: For people: built-in, folder, or Hub.
        definition: lm-eval's configuration, without data.
        documents: Items; None: the definition names its data set itself.
        group: Field that says which items share text.
        score: Metric that scores one item; empty: the first known one.
        examples: Solved items that stand before each question; of the same fields.
        shots: How many of them, always the first ones, so that prompts begin alike.
        limit: Most items, where the definition names its data set.
        pooled: Whether it counts for its family's number, or stands beside it.
        withheld: Whether answers are kept as length and digest only.
        seed: Of the order of items; None: the run's.
    """

    name: str
    family: str
    version: str
    digest: str
    origin: str
    definition: Mapping[str, Any] = field(repr=False)
    documents: Sequence[Document] | None = field(repr=False, default=None)
    group: str | None = None
    score: str = ""
    examples: Sequence[Document] = field(repr=False, default=())
    shots: int = 0
    limit: int | None = None
    pooled: bool = True
    withheld: bool = False
    seed: int | None = None


class Withheld(str):
    """Stands for an answer that is not kept; knows how it was scored, and is made by ``rows.recall`` alone."""

    score: float = 0.0


def build(questions: Questions) -> Task:
    """Return the lm-eval task.

    Args:
        questions: Items and definition.

    Raises:
        PluginError: The definition and the data do not fit.
    """
    from datasets import Dataset
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    definition = {**questions.definition, "task": questions.name}
    if questions.documents is not None:
        content = Dataset.from_list([dict(d) for d in questions.documents])
        data = {"test": content}
        definition |= {"test_split": "test", "dataset_path": "memory", "custom_dataset": lambda **_: data}
        if questions.shots:
            data["dev"] = Dataset.from_list([dict(d) for d in questions.examples])
            chosen = {"sampler": "first_n", **definition.get("fewshot_config", {})}
            definition |= {"fewshot_split": "dev", "num_fewshot": questions.shots, "fewshot_config": chosen}
    try:
        return TaskManager(include_defaults=False).load([definition])["tasks"][questions.name]
    except TROUBLE as error:
        raise PluginError(f"the task {questions.name} cannot be asked: {type(error).__name__}: {str(error)[:300]}") from error


def requests(task: Task, limit: int | None) -> dict[int, list[Any]]:
    """Return the requests of each item by the item's number.

    Args:
        task: From ``build``.
        limit: Most items.

    Returns:
        lm-eval instances in the order the task scores them.
    """
    found: dict[int, list[Any]] = {}
    shots = task.config.num_fewshot or 0
    for number, document in task.doc_iterator(rank=0, limit=limit, world_size=1):
        context = task.fewshot_context(document, num_fewshot=shots, gen_prefix=task.doc_to_prefix(document))
        made = task.construct_requests(doc=document, ctx=context, metadata=(task.config.task, number, 1))
        found[number] = sorted(made if isinstance(made, list) else [made], key=lambda r: r.idx)
    return found


def score(task: Task, instances: Sequence[Any], answers: Sequence[object], wanted: str) -> float:
    """Return the score of one item, by the task's own filters and metrics.

    Args:
        task: From ``build``.
        instances: Its requests, in order.
        answers: One for each.
        wanted: Name of the metric; empty: the first known one.

    Returns:
        Usually 0.0 or 1.0.

    Raises:
        PluginError: The task reports no score for a single item.
    """
    if any(isinstance(a, Withheld) for a in answers):
        return next(a.score for a in answers if isinstance(a, Withheld))
    for instance, answer in zip(instances, answers, strict=True):
        instance.resps, instance.filtered_resps = [answer], {}
    for chain in task._filters:
        chain.apply(list(instances))
    names = list(instances[0].filtered_resps)
    values = task.process_results(instances[0].doc, [i.filtered_resps[names[0]] for i in instances])
    for name in (wanted,) if wanted else _SCORES:
        value = values.get(name)
        if isinstance(value, (int, float)):
            return float(value)
    raise PluginError(f"the task {task.config.task} reports no score for a single item, only: {', '.join(values)}")
