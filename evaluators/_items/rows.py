"""Content keys of items, and the rows under them: what was answered once is not asked again.

A row belongs to a model (``Resident.model_key``) and an item (``item_key``); a change of anything that could change the
answer is another key, so there are no stale hits. Base rows serve every adapter of that base.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
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
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_name)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def make(
    model_key: str, key: str, questions: Questions, instances: Sequence[Any], answers: Sequence[Answer], score: float
) -> ItemRow:
    """Return the row of one answered item.

    Args:
        model_key: Of base or adapter.
        key: From ``item_key``.
        questions: The task.
        instances: Requests of the item.
        answers: One for each.
        score: From the task's metric.
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
        best = max(range(len(sums)), key=lambda i: sums[i])
        values["answer"] = str(instances[best].args[1]).strip()[:200]
    return ItemRow(model_key=model_key, item_key=key, task=questions.name, group=group_of(questions, instances), values=values)


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


def _name(value: object) -> str:
    """Return a stable text for what JSON cannot hold; the address of a function would be another one in each process."""
    return str(getattr(value, "__qualname__", None) or f"{type(value).__qualname__} {value!s}"[:200])
