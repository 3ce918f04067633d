"""Content keys of items, and the rows under them: what was answered once is not asked again.

A row belongs to a model (``Resident.model_key``) and an item (``item_key``); a change of anything that could change the
answer is another key, so there are no stale hits. Base rows serve every adapter of that base.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluators._items.tasks import Answer, Questions, Withheld
from governance.evidence import ItemRow
from governance.subject import canonical_digest


def item_key(questions: Questions, instances: Sequence[Any]) -> str:
    """Return the content key of one item: task, version, data, every argument of every request, the item itself.

    Args:
        questions: The task.
        instances: lm-eval's requests of the item.
    """
    asked = [[i.request_type, list(i.args)] for i in instances]
    shape = [dict(questions.definition).get(k) for k in ("filter_list", "metric_list", "output_type")]
    whole = [questions.name, questions.version, questions.digest, questions.score, shape, asked, instances[0].doc]
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=stable_name)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Gold:
    """The right answer of an item.

    Attributes:
        text: For people; empty if the task does not say.
        index: Which request it is, where exactly one of several choices is right; else None.
        choices: Requests that are choices; the others serve a metric.
    """

    text: str = ""
    index: int | None = None
    choices: int = 0


def gold(task: Any, instances: Sequence[Any]) -> Gold:
    """Return the right answer of an item, as far as its task says it.

    Args:
        task: lm-eval's task.
        instances: Requests of the item.
    """
    document, kind = instances[0].doc, instances[0].request_type
    target = task.doc_to_text(document) if getattr(task, "multiple_input", 0) else task.doc_to_target(document)
    if task.OUTPUT_TYPE != "multiple_choice":
        text = instances[0].args[1] if kind == "loglikelihood" and len(instances) == 1 else target
        return Gold(text=str(text).strip())
    shown = [choice(instances, i) for i in range(len(instances))]
    if isinstance(target, str):
        listed = task.doc_to_choice(document) or []
        target = listed.index(target) if target in listed else -1
    if not isinstance(target, int) or not 0 <= target < len(shown):
        return Gold(text="" if isinstance(target, int) else str(target))
    if task.config.process_results is not None:
        return Gold()  # its own way of scoring may read the target in its own way
    return Gold(text=shown[target], index=target, choices=len(task.doc_to_choice(document) or shown))


def choice(instances: Sequence[Any], number: int) -> str:
    """Return one choice as people read it: the continuation, or the end of the context where only that differs."""
    same = len({i.args[1] for i in instances}) == 1
    return str(instances[number].args[0][-200:] if same else instances[number].args[1]).strip()


def margin(row: ItemRow, right: Gold) -> float | None:
    """Return how much likelier the right choice is than the best other one.

    Args:
        row: Of one model.
        right: From ``gold``.

    Returns:
        Nats; negative if another choice is likelier. None if there is not one right choice of several.
    """
    sums = row.values.get("log-probabilities")
    if right.index is None or not isinstance(sums, list) or right.choices < 2 or len(sums) < right.choices:
        return None
    numbers = [float(s) for s in sums[: right.choices]]
    found = numbers[right.index] - max(v for i, v in enumerate(numbers) if i != right.index)
    return found if math.isfinite(found) else None


def make(
    model_key: str,
    key: str,
    questions: Questions,
    instances: Sequence[Any],
    answers: Sequence[Answer],
    score: float,
    right: Gold = Gold(),
    plan: str = "",
) -> ItemRow:
    """Return the row of one answered item.

    Args:
        model_key: Of base or adapter.
        key: From ``item_key``.
        questions: The task.
        instances: Requests of the item.
        answers: One for each.
        score: From the task's metric.
        right: The right answer.
        plan: Digest of the items it was batched with; empty if nobody knows.
    """
    values: dict[str, float | int | str | bool | list[float] | list[str]] = {"score": score}
    sums = [a[0] if isinstance(a, tuple) else a for a in answers if not isinstance(a, str)]
    if sums:
        values["log-probabilities"] = [float(s) for s in sums]
    if all(isinstance(a, tuple) for a in answers):
        values["greedy"] = [float(a[1]) for a in answers if isinstance(a, tuple)]
    texts = [a for a in answers if isinstance(a, str)]
    if questions.withheld:
        values["characters"] = [float(len(t)) for t in texts]
        values["sha256"] = [hashlib.sha256(t.encode("utf-8", "surrogatepass")).hexdigest() for t in texts]
    elif texts:
        values["texts"] = texts
    if len(sums) > 1:
        listed = range(right.choices or len(sums))
        lengths = [max(1, len(str(i.args[1]))) if questions.score == "acc_norm" else 1 for i in instances]
        values["answer"] = choice(instances, max(listed, key=lambda i: sums[i] / lengths[i]))[:200]
    if right.text:
        values["gold"] = right.text[:200]
    if plan:
        values["plan"] = plan
    row = ItemRow(model_key=model_key, item_key=key, task=questions.name, group=group_of(questions, instances), values=values)
    apart = margin(row, right)
    return row if apart is None else row.model_copy(update={"values": {**values, "margin": apart}})


def answer(row: ItemRow) -> str:
    """Return what a model answered, for people."""
    texts, greedy = row.values.get("texts"), row.values.get("greedy")
    if isinstance(texts, list) and texts:
        return str(texts[0])
    if "answer" in row.values:
        return str(row.values["answer"])
    return ("the words wanted" if greedy[0] else "other words") if isinstance(greedy, list) and greedy else ""


def score_of(row: ItemRow) -> float | None:
    """Return the score a row holds, or None if it holds none."""
    value = row.values.get("score")
    return float(value) if isinstance(value, (int, float)) else None


def recall(row: ItemRow, instances: Sequence[Any]) -> list[Answer] | None:
    """Return the answers a row holds, or None if it does not hold one for each request.

    Args:
        row: A kept row.
        instances: Requests of the item, in order.
    """
    sums, greedy, texts = (row.values.get(k) for k in ("log-probabilities", "greedy", "texts"))
    digests, total = row.values.get("sha256"), row.values.get("score")
    if isinstance(digests, list) and len(digests) == len(instances) and isinstance(total, (int, float)):
        withheld = [Withheld() for _ in digests]
        for answer in withheld:
            answer.score = float(total)
        return list(withheld)
    if isinstance(texts, list) and len(texts) == len(instances):
        return [str(t) for t in texts]
    if not isinstance(sums, list) or len(sums) != len(instances):
        return None
    if isinstance(greedy, list) and len(greedy) == len(sums):
        return [(s, bool(g)) for s, g in zip(map(float, sums), greedy, strict=True)]
    return list(map(float, sums))


def group_of(questions: Questions, instances: Sequence[Any]) -> str | None:
    """Return the cluster of an item, if its task has clusters."""
    if questions.group is None:
        return None
    value = instances[0].doc.get(questions.group)
    return None if value is None else f"{questions.name}/{value}"


def digest(model_keys: Sequence[str], scored: Sequence[tuple[str, float, float]]) -> str:
    """Return the digest of the rows behind a number.

    Args:
        model_keys: Of base and adapter.
        scored: Item key, score of the base, score of the adapter.
    """
    return canonical_digest([list(model_keys), sorted([list(s) for s in scored], key=lambda s: str(s[0]))])


def stable_name(value: object) -> str:
    """Return a stable text for what JSON cannot hold; the address of a function would be another one in each process."""
    return str(getattr(value, "__qualname__", None) or f"{type(value).__qualname__} {value!s}"[:200])
