"""A tar archive, read twice: with the names and sizes that PAX and GNU records put over the headers, and by the bare headers.

What follows the end is looked at for further headers.

Source:
    POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from governance.context import Limits
from scanners._formats.archives.members import (
    Budget,
    Member,
    Reading,
    Remark,
    Span,
    bomb,
    disagreement,
    escape,
    integrity,
    leaves,
    link,
)
from scanners._formats.archives.unpacking import window

_BLOCK = 512
_LARGEST_RECORD = 1 << 20
_WIDEST = 8**11
_RESYNC = 1 << 22
_FILES = b"0\x007"
_KINDS = {
    b"1": "a hard link", b"2": "a link", b"3": "a device", b"4": "a device", b"6": "a pipe",
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """One header block as it stands."""

    name: str
    size: int
    kind: bytes
    link: str


def header_of(block: bytes) -> Header | None:
    """Return what a block says if its checksum is that of a header, else None."""
    if len(block) < _BLOCK or not block.strip(b"\0"):
        return None
    told = _number(block[148:156])
    rest = block[:148] + b" " * 8 + block[156:_BLOCK]
    if told is None or told not in (sum(rest), sum(b - 256 if b > 127 else b for b in rest)):
        return None
    size = _number(block[124:136])
    name, prefix = _text(block[:100]), _text(block[345:500])
    if block[257:263] == b"ustar\0" and prefix:
        name = f"{prefix}/{name}"
    return Header(name, size if size is not None else -1, block[156:157], _text(block[157:257]))


def _number(field: bytes) -> int | None:
    if field[:1] in (b"\x80", b"\xff"):
        return int.from_bytes(field[1:], "big") if field[:1] == b"\x80" else -1
    try:
        return int(field.strip(b" \0").split(b"\0")[0] or b"0", 8)
    except ValueError:
        return None


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "backslashreplace")


def read_tar(stream: BinaryIO, size: int, limits: Limits, budget: Budget) -> Reading:
    """Return the members of a tar archive, and what two readings of it disagree on."""
    return _Tar(stream, size, limits, budget).read()


class _Tar:
    """One archive on its way to a reading."""

    def __init__(self, stream: BinaryIO, size: int, limits: Limits, budget: Budget) -> None:
        self._stream, self._size, self._limits, self._budget = stream, size, limits, budget
        self._members, self._remarks = list[Member](), list[Remark]()
        self._gaps, self._spans = list[str](), list[Span]()
        self._links: set[str] = set()
        self._always: dict[str, str] = {}
        self._next: dict[str, str] = {}

    def read(self) -> Reading:
        """Follow the headers up to the end, then look at what follows."""
        at, ended = 0, False
        while at < self._size:
            block = self._block(at)
            header = header_of(block)
            if header is None:
                if block.strip(b"\0"):
                    if not ended:
                        self._remarks.append(integrity("a block that should be a header is none", at))
                        self._gaps.append(f"it cannot be followed beyond byte {at:,}")
                    at = self._resync(at) if not ended else self._size
                    continue
                start, ended = at, True
                at = self._zeros(at)
                self._spans.append(Span(start, at, "padding"))
                continue
            if ended:
                self._remarks.append(disagreement("further members follow its end", at))
                ended = False
            if self._budget.members_left <= 0 or len(self._members) >= self._limits.archive_entries:
                self._remarks.append(bomb(f"it has more than {len(self._members):,} members"))
                self._gaps.append(f"more than {len(self._members):,} members")
                self._spans.append(Span(at, self._size, "member"))
                break
            at = self._one(header, at)
        if not ended and not self._gaps:
            self._gaps.append("it is cut off")
        self._names()
        return Reading(tuple(self._members), tuple(self._remarks), tuple(self._gaps), tuple(self._spans))

    def _block(self, at: int) -> bytes:
        self._stream.seek(at)
        return self._stream.read(_BLOCK)

    def _zeros(self, at: int) -> int:
        """Return where zeros end."""
        self._stream.seek(at)
        while at < self._size and (data := self._stream.read(_BLOCK * 64)):
            rest = data.lstrip(b"\0")
            if rest:
                return at + (len(data) - len(rest)) // _BLOCK * _BLOCK
            at += len(data)
        return self._size

    def _resync(self, at: int) -> int:
        """Return where the next block stands that is a header; the end if there is none within reach."""
        for place in range(at + _BLOCK, min(self._size, at + _RESYNC), _BLOCK):
            if header_of(self._block(place)) is not None:
                self._remarks.append(disagreement("headers go on after a block that is none", place))
                return place
        return self._size

    def _one(self, header: Header, at: int) -> int:
        """Take one header with its data; return where the next one stands."""
        start = at + _BLOCK
        self._spans.append(Span(at, start, "header"))
        if header.size < 0 or (header.kind in (b"x", b"g", b"L", b"K") and header.size > _LARGEST_RECORD):
            self._remarks.append(integrity("the size in a header cannot be true", at))
            self._gaps.append(f"it cannot be followed beyond byte {at:,}")
            return self._size
        if header.kind in (b"x", b"g", b"L", b"K"):
            self._stream.seek(start)
            self._record(header.kind, self._stream.read(header.size), at)
            return self._own(start, header.size, "header")
        over = {**self._always, **self._next}
        self._next = {}
        size = header.size
        if over.get("size", "").isdigit():
            size = int(over["size"][:20])
            if size != header.size and not (header.size == 0 and size >= _WIDEST):
                self._remarks.append(disagreement(f"a record gives {header.name!a} {size:,} bytes, its header {header.size:,}", at))
        if header.kind in _KINDS:
            size = 0
        self._budget.members_left -= 1
        self._members.append(self._member(header, over, start, size, at))
        return self._own(start, size, "member")

    def _own(self, start: int, size: int, role: str) -> int:
        end = start + size
        self._spans.append(Span(start, min(end, self._size), role))
        padded = -(-end // _BLOCK) * _BLOCK
        if end < padded <= self._size:
            self._stream.seek(end)
            if not self._stream.read(padded - end).strip(b"\0"):
                self._spans.append(Span(end, padded, "padding"))
        return padded

    def _record(self, kind: bytes, data: bytes, at: int) -> None:
        if kind in (b"L", b"K"):
            self._next["path" if kind == b"L" else "linkpath"] = _text(data)
            return
        into, place = self._next if kind == b"x" else self._always, 0
        while place < len(data) and data[place:].strip(b"\0"):
            length, _, _ = data[place : place + 20].partition(b" ")
            if not length.isdigit() or not (int(length) > len(length) + 1 and place + int(length) <= len(data)):
                self._remarks.append(integrity("an extended header cannot be read", at))
                return
            key, _, value = data[place + len(length) + 1 : place + int(length)].rstrip(b"\n").partition(b"=")
            into[key.decode("utf-8", "backslashreplace")] = value.decode("utf-8", "backslashreplace")
            place += int(length)

    def _member(self, header: Header, over: Mapping[str, str], start: int, size: int, at: int) -> Member:
        name, target = over.get("path", header.name), over.get("linkpath", header.link)
        remarks, gaps = list[Remark](), list[str]()
        if "path" in over and not _shortens(header.name, name):
            remarks.append(disagreement(f"a record calls it so, its header calls it {header.name!a}", at))
        if leaves(name) or leaves(header.name):
            remarks.append(escape("its name leaves the folder"))
        parts = name.strip("/").split("/")
        if self._links and any("/".join(parts[:k]) in self._links for k in range(1, len(parts) + 1)):
            remarks.append(escape("it is written through a link"))
        if header.kind in _KINDS:
            if header.kind in (b"1", b"2"):
                remarks.append(link(name, target, _KINDS[header.kind], hard=header.kind == b"1"))
                self._links.add(name.strip("/"))
            else:
                remarks.append(escape(f"it is {_KINDS[header.kind]}"))
            return Member(name, remarks=tuple(remarks))
        if header.kind == b"5" or (header.kind in _FILES and name.endswith("/") and not size):
            return Member("" if not remarks else name, remarks=tuple(remarks))
        if header.kind == b"S" or any(k.startswith("GNU.sparse") for k in over):
            gaps.append("a file with holes is read as it is stored")
        there = max(0, min(size, self._size - start))
        if there < size:
            gaps.append("it is cut off")
        return Member(
            name, there, lambda parent, owns: window(parent, start, there, owns), remarks=tuple(remarks), gaps=tuple(gaps)
        )

    def _names(self) -> None:
        twice = sorted(n for n, k in Counter(m.name for m in self._members if m.name).items() if k > 1)
        if twice:
            self._remarks.append(disagreement(f"the name {twice[0]!a} occurs more than once"))


def _shortens(short: str, long: str) -> bool:
    """Return whether a name in a header is what a writer leaves of a longer one: its letters, in order, some left out."""
    letters = iter(c for c in long.lower() if c.isascii() and c.isalnum())
    plain = [c for c in short.lower() if c.isascii() and c.isalnum()]
    return not plain or "paxheader" in short.lower() or all(c in letters for c in plain)
