"""Items of all families of a job, in the order they are asked, cut into units. Used by ``evaluators._runtime.scoring``.

The order of a family is one seeded permutation of its clusters, the same for base and every adapter. A unit is one stretch of
one family and is batched by itself, so what comes out of it does not depend on what ran before, on who runs it, on other
families, or on what is known already. Prompts are built once for all adapters of a process.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from evaluators._gate import clusters
from evaluators._gate.paired import Pair
from evaluators._items import fit, rows, tasks
from evaluators._items.tasks import Answer, Questions
from evaluators._model.resident import Resident, Which
from governance.context import RunContext
from governance.errors import PluginError
from governance.evidence import Coverage, ItemRow, Outcome
from governance.subject import canonical_digest

#: The first unit of a family, which finds a broken adapter; then the least and the most items of one.
CANARY, _LEAST, _MOST = 64, 128, 512
#: An example header is worth encoding again for so many items.
_PER_HEADER = 32
#: Characters that all prompts of a task begin with, from which it counts as having a header.
_HEADER = 256
#: Characters of prompts kept for the next adapter of this process.
_KEPT_CHARACTERS = 128 * 2**20


@dataclass
class Item:
    """One item on its way.

    Attributes:
        questions: Its task.
        task: lm-eval's object for it.
        key: Content key.
        instances: lm-eval's requests.
        right: The right answer, as far as the task says it.
        shares: Keys of what it shares with other items.
        cluster: Number of its cluster within the family.
        rows: What each model answered, once it did.
    """

    questions: Questions
    task: Any
    key: str
    instances: Sequence[Any]
    right: rows.Gold
    shares: Sequence[str]
    cluster: int = 0
    rows: dict[Which, ItemRow] = field(default_factory=dict)

    def score(self, which: Which) -> float:
        """Return the score of its row; asking has made sure that there is one."""
        return rows.score_of(self.rows[which]) or 0.0

    def pair(self, *, together: bool) -> Pair:
        """Return both scores.

        Args:
            together: Whether other items of its cluster are counted too.
        """
        return Pair(self.score("base"), self.score("adapter"), str(self.cluster) if together else None)


@dataclass(frozen=True)
class Unit:
    """Items that are asked and batched together.

    Attributes:
        number: Place among all units of the job.
        family: They belong to.
        clusters: Items by cluster.
        plan: Digest of the items, in order.
    """

    number: int
    family: str
    clusters: tuple[tuple[Item, ...], ...]
    plan: str

    @property
    def items(self) -> list[Item]:
        """All items in order."""
        return [item for cluster in self.clusters for item in cluster]


@dataclass(frozen=True)
class _Built:
    """One task with its items as they were made: everything but the answers."""

    characters: int
    items: tuple[Item, ...]


_BUILT: OrderedDict[str, _Built] = OrderedDict()


def build(asked: Iterable[Questions | Coverage], model: Resident, ctx: RunContext) -> tuple[dict[str, list[Item]], list[Coverage]]:
    """Return the items of each family, and what of it cannot be asked.

    Args:
        asked: Tasks, and what is known not to work.
        model: Says what fits into it.
        ctx: Gives seed and limits.

    Returns:
        By family; and the gaps.
    """
    families: dict[str, list[Item]] = {}
    gaps: list[Coverage] = []
    for questions in asked:
        if isinstance(questions, Coverage):
            gaps.append(questions)
            continue
        try:
            made, misfits = _items(questions, model, ctx)
            families.setdefault(questions.family, []).extend(made)
            gaps.extend(misfits)
        except (PluginError, *tasks.TROUBLE) as error:
            gaps.append(Coverage(item=questions.name, outcome=Outcome.FAILED, reason=str(error)[:400]))
    for items in families.values():
        for item, cluster in zip(items, clusters.join(_shares(items)), strict=True):
            item.cluster = cluster
    return {family: items for family, items in families.items() if items}, gaps


def units(families: dict[str, list[Item]], seed: int) -> list[Unit]:
    """Return all units of a job: the first of each family, then the second of each, and so on.

    Args:
        families: From ``build``.
        seed: Of the order, where a suite has none of its own.
    """
    cut = {}
    for family, items in families.items():
        own = next((i.questions.seed for i in items if i.questions.seed is not None), seed)
        cut[family] = list(_cut(_ordered(items, f"{own} {family}"), sizes(_headers(items))))
    found: list[Unit] = []
    for part in range(max(map(len, cut.values()), default=0)):
        for family, parts in cut.items():
            if part < len(parts):
                plan = canonical_digest([i.key for cluster in parts[part] for i in cluster])[:16]
                found.append(Unit(len(found), family, parts[part], plan))
    return found


def _ordered(items: Sequence[Item], seed: str) -> list[tuple[Item, ...]]:
    """Return the clusters in an order that depends on the seed and on what they hold, not on where it was read from."""
    grouped = [tuple(g) for _, g in groupby(sorted(items, key=lambda i: i.cluster), key=lambda i: i.cluster)]
    return sorted(grouped, key=lambda g: hashlib.sha256(f"{seed} {min(i.key for i in g)}".encode()).digest())


def _headers(items: Sequence[Item]) -> int:
    """Return how many tasks begin every prompt with the same long text, such as examples."""
    by_task = groupby(items, key=lambda i: id(i.task))
    starts = [clusters.shared_start([str(i.instances[0].args[0]) for i in group]) for _, group in by_task]
    return sum(start >= _HEADER for start in starts)


def sizes(headers: int) -> Iterator[int]:
    """Yield how many items each unit of a family should hold: few at first, then more, so that headers are not the bulk of it.

    Args:
        headers: Long texts that are encoded again in each unit.
    """
    least = max(_LEAST, _PER_HEADER * headers)
    yield CANARY
    asked = CANARY
    while True:
        size = max(least, min(_MOST, asked // 4))
        yield size
        asked += size


def _cut(ordered: Sequence[tuple[Item, ...]], sizes: Iterator[int]) -> Iterator[tuple[tuple[Item, ...], ...]]:
    """Yield stretches of clusters; a short rest goes with the last one."""
    left = sum(map(len, ordered))
    size, part, held = next(sizes), list[tuple[Item, ...]](), 0
    for cluster in ordered:
        part.append(cluster)
        held, left = held + len(cluster), left - len(cluster)
        if held >= size and left >= size // 2:
            yield tuple(part)
            size, part, held = next(sizes), [], 0
    if part:
        yield tuple(part)


def _shares(items: Sequence[Item]) -> list[Sequence[str]]:
    """Return what each item shares; what stands beside a family goes with the item of the same prompt, and is encoded with it."""
    if all(i.questions.pooled for i in items):
        return [i.shares for i in items]
    return [[*i.shares, f"asks {text}"] if (text := str(i.instances[0].args[0])) else i.shares for i in items]


def _items(questions: Questions, model: Resident, ctx: RunContext) -> tuple[list[Item], list[Coverage]]:
    """Return the items of one task, without answers, and those that do not fit; from memory if they were made before."""
    limit = questions.limit if questions.documents is None else None
    key = _identity(questions, limit)
    if key not in _BUILT:
        made = tuple(_make(questions, limit))
        _BUILT[key] = _Built(sum(len(str(r.args[0])) for i in made for r in i.instances), made)
    _BUILT.move_to_end(key)
    while len(_BUILT) > 1 and sum(b.characters for b in _BUILT.values()) > _KEPT_CHARACTERS:
        _BUILT.popitem(last=False)
    found: list[Item] = []
    misfits: list[Coverage] = []
    for number, i in enumerate(_BUILT[key].items, start=1):
        reason = fit.misfit(i.instances, model.encode, model.max_length)
        if reason:
            misfits.append(Coverage(item=f"{questions.name}, item {number}", outcome=Outcome.SKIPPED, reason=reason))
        else:
            found.append(Item(questions, i.task, i.key, i.instances, i.right, i.shares))
    return found, misfits


def _make(questions: Questions, limit: int | None) -> Iterator[Item]:
    task = tasks.build(questions)
    asked = list(tasks.requests(task, limit).values())
    if not asked:
        raise PluginError(f"the task {questions.name} has no items")
    # A task that cannot be scored is found before anything is asked.
    tasks.score(task, asked[0], [_like(r) for r in asked[0]], questions.score)
    named = [rows.group_of(questions, instances) for instances in asked]
    shared = clusters.text_keys([[] if group else _texts(task, i) for group, i in zip(named, asked, strict=True)])
    for instances, group, shares in zip(asked, named, shared, strict=True):
        key = rows.item_key(questions, instances)
        yield Item(questions, task, key, instances, rows.gold(task, instances), [key, *([f"group {group}"] if group else shares)])


def _texts(task: Any, instances: Sequence[Any]) -> list[str]:
    """Return an item's own text as it is asked, without examples, and the long texts of its data."""
    if len(str(instances[0].args[0])) < clusters.SHARED:
        return []
    own, document = task.doc_to_text(instances[0].doc), instances[0].doc
    long = [v for v in document.values() if isinstance(v, str) and len(v) >= clusters.SHARED] if isinstance(document, dict) else []
    return [own if isinstance(own, str) else "", *long]


def _like(request: Any) -> Answer:
    if request.request_type == "generate_until":
        return ""
    return -1.0 if request.request_type == "loglikelihood_rolling" else (-1.0, False)


def _identity(questions: Questions, limit: int | None) -> str:
    """Return what decides about the prompts of a task and their scores."""
    shape = json.dumps(dict(questions.definition), sort_keys=True, default=rows.stable_name)
    data = json.dumps([questions.documents, questions.examples], sort_keys=True, default=rows.stable_name)
    named = [questions.name, questions.family, questions.version, questions.digest, questions.score, questions.group]
    whole = hashlib.sha256(data.encode("utf-8", "surrogatepass")).hexdigest()
    return canonical_digest([*named, questions.shots, limit, shape, whole])
