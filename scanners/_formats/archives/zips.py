"""A zip archive, read twice: by its central directory, and forward by its local headers. Every disagreement is told.

Loaders differ in which of the two they believe, whether they look at flags, names and checksums, and where they look for
the end record. So each member either reading names is read, and the entries must tile the file. Bytes that neither reading
owns are left out of the spans, for ``inventory`` to report; what two readings give different owners is said here.

Source:
    PKWARE APPNOTE 6.3.10, sections 4.3 and 4.4; torch ``PyTorchStreamReader`` (miniz).
"""

from __future__ import annotations

import stat
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from governance.context import Limits
from governance.ranges import will_read
from scanners._formats.archives.members import (
    Budget,
    Member,
    Numbers,
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
from scanners._formats.archives.unpacking import Packed, missing, survey, window
from scanners._formats.archives.zip_records import LOCAL, Directory, Entry, descriptor_at, directories, local_at

_METHODS = {8: "deflate", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz"}
_STORED = 0
#: A pipe is none of them: writers that were fed by one leave its mode.
_SPECIAL = (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK)
#: A member may unpack to this much whatever the ratio, and is kept in memory if it is no larger than the second number.
_SMALL, _KEPT = 8 << 20, 1 << 20
#: A stored member no larger than this has its checksum computed.
_CHECKED = 64 << 20
_GAP = 1 << 16
_CHUNK = 1 << 20
_HEAD = 4096


def is_zip(stream: BinaryIO, size: int) -> bool:
    """Return whether a zip begins at the start of a file, or an end record near its end points at a directory inside it."""
    stream.seek(0)
    return stream.read(4) in (LOCAL, b"PK\x05\x06") or bool(directories(stream, size))


def read_zip(
    stream: BinaryIO, size: int, limits: Limits, budget: Budget, numbers: Numbers, found: list[Directory] | None = None
) -> Reading:
    """Return every member that either reading names, and what the readings disagree on.

    Args:
        stream: The archive, seekable.
        size: Its bytes.
        limits: Ceilings for entries and ratio.
        budget: What may still be unpacked.
        numbers: Members of which only the beginning is looked at.
        found: Its directories, if they were read before.
    """
    return _Zip(stream, size, limits, budget, numbers, found or directories(stream, size, far=True)).read()


class _Zip:
    """One archive on its way to a reading."""

    def __init__(
        self, stream: BinaryIO, size: int, limits: Limits, budget: Budget, numbers: Numbers, found: list[Directory]
    ) -> None:
        self._stream, self._size, self._limits, self._budget, self._numbers = stream, size, limits, budget, numbers
        self._directories = found
        self._members, self._remarks = list[Member](), list[Remark]()
        self._gaps, self._spans = list[str](), list[Span]()

    def read(self) -> Reading:
        """Return everything."""
        entries = self._listed() if self._directories else self._forward(0, self._size)
        if self._directories:
            first = self._directories[0]
            there = [e for e in entries if e.data_at > e.at]
            begin = min((e.at for e in there), default=first.begin)
            if begin > 0:
                there += self._forward(0, begin, known={e.at for e in there})
            entries = [e for e in entries if e.data_at <= e.at] + there + self._tiles(there, first)
            self._end(first)
        else:
            self._remarks.append(disagreement("it has no directory that the end of the file leads to"))
            self._gaps.append("it has no end record; members were read by their local headers")
        self._names(entries)
        for entry in sorted(entries, key=lambda e: e.at):
            self._span(entry)
        return Reading(tuple(self._members), tuple(self._remarks), tuple(self._gaps), tuple(sorted(self._spans, key=_start)))

    def _listed(self) -> list[Entry]:
        """Read the members the directories list; directories of archives stored inside a member are not this one's."""
        heads = ((max(0, e.at - 32), 32 + 30 + len(e.name) + 64 + _HEAD) for d in self._directories for e in d.entries)
        will_read(self._stream, heads)
        first, rivals = self._directories[0], list[Directory]()
        joined: dict[tuple[int, bytes], Entry] = {}
        for directory in self._directories:
            inside = any(e.method == _STORED and e.data_at <= directory.begin and directory.finish <= e.data_at + e.packed
                         for e in joined.values())  # fmt: skip
            if inside:
                continue
            if directory is not first:
                rivals.append(directory)
            if len(directory.entries) > self._limits.archive_entries:
                self._too_many(self._limits.archive_entries)
            for listed in directory.entries[: self._limits.archive_entries]:
                key = (listed.at, listed.name)
                if key in joined:
                    if directory is first:
                        self._remarks.append(disagreement(f"the directory lists {listed.text!a} more than once", listed.at))
                    continue
                if not self._take():
                    break
                joined[key] = self._listed_member(listed)
        if rivals:
            self._remarks.append(disagreement("more than one end record leads to a directory", rivals[0].begin))
            self._spans += [s for d in rivals for s in _records(d)]
        self._remarks += [disagreement(words, first.end_at) for words in first.lies]
        return list(joined.values())

    def _listed_member(self, listed: Entry) -> Entry:
        local = local_at(self._stream, listed.at, self._size)
        if local is None:
            words = "the directory names a member that is not there"
            self._members.append(Member(listed.text, remarks=(disagreement(words, listed.at),),
                                        gaps=("it has no local header where the directory says",)))  # fmt: skip
            return replace(listed, data_at=listed.at, packed=0)
        entry, differ = _joined(listed, local)
        self._members.append(self._member(entry, differ))
        if {listed.method, local.method} <= {_STORED, *_METHODS} and listed.method != local.method:
            self._members.append(self._member(replace(entry, method=listed.method), ()))
        return entry

    def _take(self) -> bool:
        if self._budget.members_left <= 0:
            self._too_many(len(self._members))
            return False
        self._budget.members_left -= 1
        return True

    def _too_many(self, most: int) -> None:
        self._remarks.append(bomb(f"it has more than {most:,} members"))
        self._gaps.append(f"more than {most:,} members")

    def _forward(self, begin: int, end: int, known: set[int] | None = None) -> list[Entry]:
        """Read the members that local headers alone give, from one place to another."""
        at, found = begin, list[Entry]()
        while at < end and len(found) < self._limits.archive_entries:
            entry = local_at(self._stream, at, self._size)
            if entry is None or (known is not None and at in known) or not self._take():
                break
            if entry.flags & 8 and not entry.packed and entry.method in _METHODS:
                seen = survey(self._stream, self._packed(entry, end - entry.data_at), self._ceiling(end - entry.data_at), 0)
                entry = replace(entry, packed=seen.used, size=seen.size, crc=seen.crc)
            said = () if known is None else (disagreement("no directory lists it, but its local header is there", at),)
            self._members.append(self._member(entry, said))
            found.append(entry)
            at = entry.data_at + entry.packed
            at += descriptor_at(self._stream, at, entry)[0] if entry.flags & 8 and at < self._size else 0
        return found

    def _packed(self, entry: Entry, length: int) -> Packed:
        lead, start = b"", entry.data_at
        if entry.method == 14:
            self._stream.seek(start)
            head = self._stream.read(9)
            lead, start, length = head[4:9] + b"\xff" * 8, start + 9, max(0, length - 9)
            if not entry.flags & 2:
                lead = head[4:9] + entry.size.to_bytes(8, "little")
        return Packed(start, length, _METHODS[entry.method], lead)

    def _ceiling(self, packed: int) -> int:
        return max(0, min(packed * self._limits.archive_ratio + _SMALL, self._budget.bytes_left))

    def _member(self, entry: Entry, said: tuple[Remark, ...]) -> Member:
        name, remarks = entry.text, [*said]
        if leaves(name):
            remarks.append(escape("its name leaves the folder"))
        if stat.S_ISLNK(entry.mode) and not name.endswith("/"):
            self._stream.seek(entry.data_at)
            plain = entry.method == _STORED and entry.packed < _HEAD
            target = self._stream.read(entry.packed).decode("utf-8", "backslashreplace") if plain else "/"
            remarks.append(link(name, target, "a link"))
        elif stat.S_IFMT(entry.mode) in _SPECIAL and not name.endswith("/"):
            remarks.append(escape("it is a device or a socket"))
        made = Member(name, remarks=tuple(remarks))
        if name.endswith("/") and not entry.packed:
            return made
        if entry.method != _STORED and entry.method not in _METHODS:
            what = f"it is packed by method {entry.method}, which is not read here"
            return replace(made, remarks=(*remarks, integrity(what, entry.at)), gaps=(what,))
        there = max(0, min(entry.packed, self._size - entry.data_at))
        if there < entry.packed:
            made = replace(made, gaps=("it is cut off",))
        if entry.method == _STORED:
            return self._stored(entry, made, there)
        package = missing(_METHODS[entry.method])
        if package:
            return replace(made, gaps=(f"it is packed by {_METHODS[entry.method]}: install {package} to read it",))
        return self._unpacked(entry, made, there)

    def _stored(self, entry: Entry, made: Member, there: int) -> Member:
        start, remarks = entry.data_at, [*made.remarks]
        made = replace(made, size=there, view=lambda parent, owns: window(parent, start, there, owns))
        if self._numbers(made.name):
            self._stream.seek(start)  # right behind the local header: one request of a stream that is asked for by range
            return replace(made, head=self._stream.read(min(there, _HEAD)))
        if there > _CHECKED:
            return made
        crc, left = 0, there
        self._stream.seek(start)
        while left > 0 and (data := self._stream.read(min(left, _CHUNK))):
            crc, left = zlib.crc32(data, crc), left - len(data)
        if entry.size != entry.packed and not entry.flags & 1:
            remarks.append(integrity(f"it says it unpacks to {entry.size:,} bytes, and has {entry.packed:,}", entry.at))
        if crc != entry.crc:
            if entry.flags & 1:
                remarks.append(integrity("it is encrypted", entry.at))
                return replace(made, remarks=tuple(remarks), gaps=("it is encrypted, or its checksum is wrong", *made.gaps))
            remarks.append(integrity("its checksum is wrong", entry.at))
        elif entry.flags & 1:
            remarks.append(disagreement("it says it is encrypted and is not", entry.at))
        return replace(made, remarks=tuple(remarks))

    def _unpacked(self, entry: Entry, made: Member, there: int) -> Member:
        packed = self._packed(entry, there)
        if self._numbers(made.name) and not entry.flags & 1:
            size = min(entry.size, there * 1_100 + _SMALL)
            one = survey(self._stream, packed, _KEPT // 16, 0)
            return replace(made, size=size if one.over else one.size, view=one.view(packed))
        seen = survey(self._stream, packed, self._ceiling(there), _KEPT)
        self._budget.bytes_left -= seen.size
        remarks, gaps = [*made.remarks], [*made.gaps]
        made = replace(made, size=seen.size, view=seen.view(packed), held=len(seen.data or b""))
        if seen.over:
            remarks.append(bomb("it unpacks to more than is allowed"))
            gaps.append("it unpacks to more than is allowed")
        elif entry.flags & 1 and (seen.problem or seen.crc != entry.crc):
            remarks.append(integrity("it is encrypted", entry.at))
            gaps.append("it is encrypted, or not packed as it says")
        elif seen.problem:
            remarks.append(integrity(seen.problem, entry.at))
            gaps.append(seen.problem)
        else:
            if (seen.size, seen.crc) != (entry.size, entry.crc):
                remarks.append(integrity("its size or checksum is wrong", entry.at))
            if seen.used + packed.start < entry.data_at + there and entry.method not in (14,):
                more = entry.data_at + there - packed.start - seen.used
                remarks.append(disagreement(f"{more:,} bytes follow its compressed data", packed.start + seen.used))
            if entry.flags & 1:
                remarks.append(disagreement("it says it is encrypted and is not", entry.at))
        return replace(made, remarks=tuple(remarks), gaps=tuple(gaps))

    def _tiles(self, entries: list[Entry], first: Directory) -> list[Entry]:
        """Follow the members from the first to the directory; return those that only a local header between them gives."""
        reached, hidden = min((e.at for e in entries), default=first.begin), list[Entry]()
        for entry in [*sorted(entries, key=lambda e: (e.at, e.packed)), None]:
            at = entry.at if entry is not None else first.begin
            if at < reached:
                what = f"{entry.text!a}" if entry is not None else "the directory"
                self._remarks.append(disagreement(f"{what} overlaps the member before it", at))
                if len(self._remarks) > 1_000:
                    break
            elif at > reached:
                hidden += self._between(reached, at)
            if entry is not None:
                after = entry.data_at + entry.packed
                if entry.flags & 8 and after < self._size:
                    length, true = descriptor_at(self._stream, after, entry)
                    if length:
                        self._spans.append(Span(after, after + length, "header"))
                        if not true and entry.data_at > entry.at:
                            self._remarks.append(disagreement(f"the data descriptor of {entry.text!a} says other sizes", after))
                    after += length
                reached = max(reached, after)
        return hidden

    def _between(self, begin: int, end: int) -> list[Entry]:
        """Look at bytes no member of the directory owns: members, zeros that pad, or nobody's."""
        found = self._forward(begin, end, known=set())
        if found:
            begin = max(e.data_at + e.packed for e in found)
        if begin < end:
            self._stream.seek(begin)
            if end - begin <= _GAP and not self._stream.read(end - begin).strip(b"\0"):
                self._spans.append(Span(begin, end, "padding"))
        return found

    def _end(self, first: Directory) -> None:
        self._spans += _records(first)
        for begin, end in ((first.end, first.records[0][0] if first.records else first.end_at),):
            if end > begin:
                self._between(begin, end)
        length = first.finish - first.comment
        if length > 0:
            start = first.comment
            self._members.append(Member("(comment)", length, lambda parent, owns: window(parent, start, length, owns)))

    def _span(self, entry: Entry) -> None:
        if entry.data_at > entry.at:
            self._spans.append(Span(entry.at, entry.data_at, "header"))
            self._spans.append(Span(entry.data_at, min(self._size, entry.data_at + entry.packed), "member"))

    def _names(self, entries: list[Entry]) -> None:
        """Compare the names: one name, one entry, whatever the case and form."""
        names = Counter(e.text for e in entries)
        twice = sorted(n for n, k in names.items() if k > 1)
        if twice:
            self._remarks.append(disagreement(f"the name {twice[0]!a} occurs more than once"))
        folded = Counter(unicodedata.normalize("NFC", n).casefold() for n in names)
        if any(k > 1 for k in folded.values()):
            self._remarks.append(disagreement("two names differ by case or by unicode form only"))


def _start(span: Span) -> int:
    return span.start


def _records(directory: Directory) -> Iterator[Span]:
    yield Span(directory.begin, directory.end, "directory")
    yield from (Span(begin, end, "header") for begin, end in directory.records)
    yield Span(directory.end_at, directory.comment, "header")
    if directory.finish > directory.comment:
        yield Span(directory.comment, directory.finish, "comment")


def _joined(central: Entry, local: Entry) -> tuple[Entry, tuple[Remark, ...]]:
    """Return the entry to read, and what the two headers disagree on."""
    found = []
    if central.name != local.name:
        found.append(f"its local header calls it {local.text!a}")
    for other in {central.spelled, local.spelled} - {None, central.name}:
        called = (other or b"").decode("utf-8", "backslashreplace")
        if called not in (central.text, central.name.decode("cp437")):
            found.append(f"its Unicode Path field calls it {called!a}")
    if central.method != local.method:
        found.append(f"methods {central.method} and {local.method}")
    if (central.flags ^ local.flags) & 1:
        found.append("one header says it is encrypted")
    if central.flags & 2048 != local.flags & 2048 and not central.name.isascii():
        found.append("the headers differ in how its name is written")
    told = zip((central.packed, central.size, central.crc), (local.packed, local.size, local.crc), strict=True)
    if any(a != b and (b or not local.flags & 8) for a, b in told):  # a writer that streams leaves zeros
        found.append("sizes or checksums differ")
    readable = local.method == _STORED or local.method in _METHODS
    made = replace(central, method=local.method if readable else central.method, data_at=local.data_at,
                   flags=central.flags & local.flags & 1 | (central.flags | local.flags) & ~1)  # fmt: skip
    return made, (disagreement("; ".join(found), central.at),) if found else ()
