"""One member of an archive, as far as it was read. Made by ``archives`` and ``zips``, read by the scanners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: Called with a member's name and its first bytes; whether the rest is read too.
Wanted = Callable[[str, bytes], bool]


@dataclass(frozen=True)
class Member:
    """One member.

    Attributes:
        name: As the archive spells it; empty for the archive as a whole, or the one content of a compressed file.
        data: What was read of it.
        problem: Why it could not be read whole, or None.
        whole: Whether ``data`` is all that was wanted.
        disagreement: What two readings of the archive disagree on, or None.
        escape: Why its name or link would leave the folder, or None.
        bomb: Whether it unpacks to more than allowed.
    """

    name: str
    data: bytes
    problem: str | None = None
    whole: bool = True
    disagreement: str | None = None
    escape: str | None = None
    bomb: bool = False
