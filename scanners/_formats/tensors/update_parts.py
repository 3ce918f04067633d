"""Which tensors of an adapter are parts of an update, by name alone, in the dialects of PEFT, kohya, MLX and llama.cpp.

Read by ``scanners.weight_values``; the words come from ``tables/neutral_updates.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from scanners._formats.tables import table

Role = Literal["down", "up", "zero", "one"]
_LONGEST_NAME, _LONGEST_LABEL = 1_000, 80


@dataclass(frozen=True, slots=True)
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
    roles, parts = _roles(), name.rsplit(".", 3)
    if len(parts) == 4 and parts[3] == "weight" and parts[1] in roles and 0 < len(parts[2]) <= _LONGEST_LABEL:
        return Part(parts[0], roles[parts[1]], parts[1])
    if len(parts) > 2 and parts[-2] in roles and 0 < len(parts[-1]) <= _LONGEST_LABEL:
        return Part(".".join(parts[:-2]), roles[parts[-2]], parts[-2])
    return Part(".".join(parts[:-1]), roles[parts[-1]], parts[-1]) if len(parts) > 1 and parts[-1] in roles else None


@cache
def _roles() -> Mapping[str, Role]:
    rows = table("neutral_updates")
    roles: tuple[Role, ...] = ("down", "up", "zero", "one")
    return {str(word): role for role in roles for word in rows[role]}
