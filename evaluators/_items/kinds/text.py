"""A passage of text; how well it is predicted is what is measured."""

from __future__ import annotations

from evaluators._items.kinds.shape import How, Item, Kind, text_of
from evaluators._items.tasks import Document


def read(item: Item, how: How) -> list[Document]:
    """Return the passage."""
    return [{"text": text_of(item, "text")}]


KIND = Kind(read, "1", elsewhere="text without questions, no skill: the evaluator perplexity reads it")
