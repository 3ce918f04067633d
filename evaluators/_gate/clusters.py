"""Which items hang together: those that share a name of a group, or a long piece of their own text.

Scores of items about one passage rise and fall together, so they count as one draw. Read by ``evaluators._runtime.items``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

#: Characters that are about 64 tokens of English; tokens themselves are the engine's business.
SHARED = 256


def text_keys(items: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return what each item of one task shares with others, as keys: equal keys mean one cluster.

    Items share text if their own texts begin alike for ``SHARED`` characters, or if they hold the same text of at least that
    length. What all items of the task have in common is its instruction and no reason to hang together.

    Args:
        items: The item's own text as it is asked, without examples, then every text of its data.
    """
    common = shared_start([texts[0] for texts in items if texts]) if len(items) > 1 else 0
    found = []
    for texts in items:
        own = texts[0][common:] if texts else ""
        keys = [f"begins {_digest(own[:SHARED])}"] if len(own) >= SHARED else []
        found.append([*keys, *(f"holds {_digest(t)}" for t in set(texts[1:]) if len(t) >= SHARED)])
    everywhere = set(found[0]).intersection(*found[1:]) if len(found) > 1 else set()
    return [sorted(set(keys) - everywhere) for keys in found]


def shared_start(texts: Sequence[str]) -> int:
    """Return how many characters all texts begin with; 0 for none."""
    if not texts:
        return 0
    first, last = min(texts), max(texts)
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def join(keys: Sequence[Sequence[str]]) -> list[int]:
    """Return the cluster of each item as a number: items with a key in common are in one, directly or by way of others.

    Args:
        keys: Of each item.

    Returns:
        The smallest number of an item in the same cluster.
    """
    parent = list(range(len(keys)))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    holder: dict[str, int] = {}
    for item, mine in enumerate(keys):
        for key in mine:
            one, other = sorted((root(item), root(holder.setdefault(key, item))))
            parent[other] = one
    return [root(item) for item in range(len(keys))]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
