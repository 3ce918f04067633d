"""Which tensors of an adapter are parts of an update, by name alone, in the dialects of PEFT, kohya, MLX and llama.cpp.

Read by ``scanners.weight_values``; the words come from ``tables/neutral_updates.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from scanners._formats.tables import table

Role = Literal["down", "up", "zero", "one"]
_LONGEST_NAME = 1_000


@dataclass(frozen=True)
class Part:
    """A tensor's part in an update.

    Attributes:
        module: What the update changes.
        role: ``down`` and ``up`` are the halves of a low-rank update; the value that makes the update nothing is zero, but
            for the role ``one``.
        word: The part's name.
    """

    module: str
    role: Role
    word: str


def part_of(name: str) -> Part | None:
    """Return which part of which update a tensor is, or None.

    Args:
        name: As the file has it.
    """
    if len(name) > _LONGEST_NAME:
        return None
    match = _pattern().match(name)
    return Part(match["module"], _roles()[match["word"]], match["word"]) if match else None


@cache
def _roles() -> Mapping[str, Role]:
    rows = table("neutral_updates")
    roles: tuple[Role, ...] = ("down", "up", "zero", "one")
    return {str(word): role for role in roles for word in rows[role]}


@cache
def _pattern() -> re.Pattern[str]:
    words = "|".join(sorted(map(re.escape, _roles()), key=len, reverse=True))
    return re.compile(rf"(?P<module>.{{0,1000}}?)\.(?P<word>{words})(?:\.[^.]{{1,80}})?(?:\.weight)?\Z", re.DOTALL)
