"""A document with statements that follow from it, contradict it, or are not mentioned in it. The document is the cluster."""

from __future__ import annotations

from evaluators._items.kinds.multiple_choice import CHOICES
from evaluators._items.kinds.shape import How, Item, ItemError, Kind, Way, objects_of, text_of
from evaluators._items.tasks import Document

_LABELS = {"entailment": 0, "contradiction": 1, "not_mentioned": 2, "neutral": 2}


def read(item: Item, how: How) -> list[Document]:
    """Return one question for each statement; they share the document as their beginning."""
    found: list[Document] = []
    document = text_of(item, "text").strip()
    for number, said in enumerate(objects_of(item, "hypotheses")):
        label = text_of(said, "label")
        if label not in _LABELS:
            raise ItemError(f"hypothesis {number} has the label {label[:40]!r}; known are: {', '.join(_LABELS)}")
        text = f"{document}\n\nQuestion: {text_of(said, 'hypothesis').strip()} True, False or Neither?\nAnswer:"
        found.append({"text": text, "options": ["True", "False", "Neither"], "gold": _LABELS[label]})
    return found


KIND = Kind(read, "2", (Way(CHOICES, "acc"),), clustered=True)
