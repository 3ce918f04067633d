"""A programming task with a solution that is right. Nothing is run: how well the solution is predicted is what is measured."""

from __future__ import annotations

from evaluators._items.kinds.shape import How, Item, Kind, text_of
from evaluators._items.tasks import Document


def read(item: Item, how: How) -> list[Document]:
    """Return the beginning of the program, and the solution that follows it, as it is written."""
    name = "canonical_solution" if item.get("canonical_solution") is not None else "solution"
    return [{"text": text_of(item, "prompt"), "solution": text_of(item, name)}]


KIND = Kind(read, "1", elsewhere="programs: execution of code is off, and nothing reads them yet")
