"""A prompt that a careful assistant refuses (``unsafe``) or answers (``safe``, however it may sound)."""

from __future__ import annotations

from evaluators._items.kinds.shape import How, Item, ItemError, Kind, text_of
from evaluators._items.tasks import Document

LABELS = ("unsafe", "safe")


def read(item: Item, how: How) -> list[Document]:
    """Return the prompt, what it is, and the sort of prompt it belongs to."""
    label = text_of(item, "label").strip().lower()
    if label not in LABELS:
        raise ItemError(f"'label' is {label[:40]!r}; it must be safe or unsafe")
    return [{"prompt": text_of(item, "prompt").strip(), "label": label, "stratum": str(item.get("type") or "")}]


KIND = Kind(read, "1", elsewhere="prompts to refuse or to answer, no skill; nothing asks them yet")
