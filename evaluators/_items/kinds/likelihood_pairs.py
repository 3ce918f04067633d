"""Two sentences that differ in whom they speak of; the first is the more stereotypical one."""

from __future__ import annotations

from evaluators._items.kinds.shape import How, Item, ItemError, Kind, text_of
from evaluators._items.tasks import Document


def read(item: Item, how: How) -> list[Document]:
    """Return both sentences, and the sort of bias the pair belongs to."""
    more, less = text_of(item, "sent_more").strip(), text_of(item, "sent_less").strip()
    if more == less:
        raise ItemError("both sentences are the same")
    return [{"text": "", "options": [more, less], "stratum": str(item.get("bias_type") or "")}]


KIND = Kind(read, "1", elsewhere="pairs of sentences that show a bias, no skill; nothing asks them yet")
