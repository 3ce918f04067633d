"""What a reader of a container gives back: members that open on demand, remarks, gaps, and who owns which bytes.

Made by ``archives``, ``zips`` and ``tars``; ``tree`` turns members into content. Nothing here holds a member's bytes unless
they are few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from governance.evidence import Severity

#: Opens a member, given a stream of what it lies in; ``owns`` closes that stream with it.
View = Callable[[BinaryIO, bool], BinaryIO]
#: Whether a member of this name is numbers of which only the beginning is looked at.
Numbers = Callable[[str], bool]
#: Bytes one file may unpack to in all, and members in all, whatever the nesting.
_MOST_UNPACKED, _MOST_MEMBERS = 2 << 30, 40_000
#: Bytes kept in memory of what can only be unpacked from its beginning.
_MOST_KEPT = 40 << 20


@dataclass(frozen=True)
class Remark:
    """Something a reader saw; ``rule`` is a rule of the scanner that reports on the reader's format."""

    rule: str
    severity: Severity
    words: str
    offset: int | None = None
    remediation: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes with an owner: a header, a member, a tensor, padding, a comment."""

    start: int
    end: int
    role: str


@dataclass(frozen=True)
class Member:
    """One member of an archive.

    Attributes:
        name: As the archive spells it; empty for the one content of a compressed file. In parentheses for bytes that are no
            member and are looked at all the same: a gap, a comment.
        size: Its bytes, unpacked.
        view: Opens it; None for a link, a folder, or what cannot be read.
        held: How many of its bytes are kept in memory.
        head: Its first bytes, if they are all that is looked at.
        remarks: What is odd about it.
        gaps: Why it was not read whole.
    """

    name: str
    size: int = 0
    view: View | None = None
    held: int = 0
    head: bytes | None = None
    remarks: tuple[Remark, ...] = ()
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """Everything a container holds, as one reader sees it."""

    members: tuple[Member, ...] = ()
    remarks: tuple[Remark, ...] = ()
    gaps: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()


@dataclass
class Budget:
    """What may still be unpacked of one file, nested containers included."""

    bytes_left: int = _MOST_UNPACKED
    members_left: int = _MOST_MEMBERS
    memory_left: int = _MOST_KEPT


def disagreement(words: str, offset: int | None = None) -> Remark:
    """Return that two readers would see different archives."""
    return Remark("archive-disagreement", Severity.HIGH, f"loaders would read different things: {words}", offset)


def integrity(words: str, offset: int | None = None) -> Remark:
    """Return that something is not as the archive says."""
    return Remark("archive-integrity", Severity.MEDIUM, words, offset)


def escape(words: str) -> Remark:
    """Return that unpacking writes elsewhere."""
    return Remark("archive-escape", Severity.HIGH, f"unpacking it would write elsewhere: {words}")


def bomb(words: str) -> Remark:
    """Return that it unpacks to more than allowed."""
    return Remark("archive-bomb", Severity.MEDIUM, words)


def holes(spans: Iterable[Span], size: int) -> Iterator[tuple[int, int]]:
    """Yield bytes of a file that no span owns, in order."""
    reached = 0
    for span in sorted(spans, key=lambda s: s.start):
        if span.start > reached:
            yield reached, min(span.start, size)
        reached = max(reached, span.end)
    if reached < size:
        yield reached, size


def link(name: str, target: str, what: str, *, hard: bool = False) -> Remark:
    """Return that a member is a link: low if it stays inside the archive, high if it leads out.

    Args:
        name: The member's.
        target: Where it leads: from its own folder, or a hard link from the archive's top.
        what: What it is, with its article.
        hard: Whether it is a hard link.
    """
    depth, out = 0, leaves(target) and not target.startswith("..")
    for part in ([] if hard else name.replace("\\", "/").split("/")[:-1]) + target.replace("\\", "/").split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        out = out or depth < 0
    if out or target.startswith(("/", "\\")):
        return escape(f"it is {what} to {target!a}")
    return Remark("archive-escape", Severity.LOW, f"it is {what} to {target!a}, inside the archive")


def leaves(name: str) -> bool:
    """Return whether a member of this name would be unpacked outside the folder, on some system."""
    plain = name.replace("\\", "/")
    return plain.startswith("/") or ".." in plain.split("/") or plain[1:2] == ":" or "\0" in name
