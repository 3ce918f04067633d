"""A question with true and false answers that are scored as texts: one right answer (mc1), and the mass of all true ones (mc2).

Source:
    Lin, Hilton and Evans, TruthfulQA (arXiv 2109.07958), section 3.2: MC1 and MC2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from evaluators._items.kinds.multiple_choice import CHOICES
from evaluators._items.kinds.shape import How, Item, ItemError, Kind, Way, prompt_of, text_of, texts_of
from evaluators._items.tasks import Document


def read(item: Item, how: How) -> list[Document]:
    """Return the question with the answers of both ways."""
    first, labels = _targets(item, "mc1_targets")
    every, true = _targets(item, "mc2_targets") if item.get("mc2_targets") else (first, labels)
    own = f"Q: {text_of(item, 'question').strip()}\nA:"
    return [
        {
            "text": prompt_of(item, how, own),
            "options": [*first],
            "gold": labels.index(1),
            "every": [*every],
            "true": [*true],
            "first": true.index(1),
        }
    ]


def mass(document: Document, results: Sequence[Any]) -> dict[str, float]:
    """Return the share of probability that lies on the true answers.

    Args:
        document: From ``read``.
        results: Log-probability and greedy flag of every answer.
    """
    sums = [float(r[0]) for r in results]
    labels = [label == "1" for label in texts_of(document, "true")]
    largest = max(sums)
    weights = [math.exp(s - largest) for s in sums]
    return {"mass": sum(w for w, label in zip(weights, labels, strict=True) if label) / sum(weights)}


def _targets(item: Item, name: str) -> tuple[list[str], list[int]]:
    targets = item.get(name)
    if not isinstance(targets, dict):
        raise ItemError(f"{name!r} must be an object with 'choices' and 'labels'")
    choices, labels = texts_of(targets, "choices"), texts_of(targets, "labels")
    if len(choices) != len(labels) or set(labels) - {"0", "1"} or "1" not in labels or len(choices) < 2:
        raise ItemError(f"{name!r} must have a label of 0 or 1 for each of its choices, at least two, and a 1 among them")
    return choices, [int(v) for v in labels]


_MASS = CHOICES | {
    "doc_to_choice": "every",
    "doc_to_target": "first",
    "process_results": mass,
    "metric_list": [{"metric": "mass", "aggregation": "mean", "higher_is_better": True}],
}
KIND = Kind(read, "2", (Way(CHOICES, "acc", suffix="mc1"), Way(_MASS, "mass", suffix="mc2", pooled=False)), prompts=True)
