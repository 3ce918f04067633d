"""The records of a zip archive: end records, central directories, local headers, data descriptors. Read as they stand.

What they add up to is ``zips``' business; ``kinds`` asks here whether a file ends in an archive, and what its members are named.

Source:
    PKWARE APPNOTE 6.3.10, sections 4.3 to 4.6; torch ``PyTorchStreamReader`` (miniz) for what readers tolerate.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64, _LOCATOR64, _DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
_LOCAL_FIELDS = struct.Struct("<4s5H3I2H")
_CENTRAL_FIELDS = struct.Struct("<4s6H3I5H2I")
#: An end record is looked for in this many bytes at the end, which is as far as a comment can push it ...
_TAIL = 65_535 + 22
#: ... and in an archive further, as some readers look through more.
_LONG_TAIL = 1 << 18
_LARGEST_DIRECTORY = 64 << 20
_MOST_CANDIDATES, _MOST_ENTRIES = 64, 200_000
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_UTF8 = 1 << 11


@dataclass(frozen=True)
class Entry:
    """One member as one header has it; ``at`` is where its local header stands in the file."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    at: int
    data_at: int = 0
    spelled: bytes | None = None
    mode: int = 0

    @property
    def text(self) -> str:
        """Its name as the flags say it is written; UTF-8 without the flag is taken for what it is."""
        try:
            return self.name.decode()
        except UnicodeDecodeError:
            return self.name.decode("utf-8", "backslashreplace") if self.flags & _UTF8 else self.name.decode("cp437")


@dataclass(frozen=True)
class Directory:
    """One central directory that an end record leads to; offsets are those in the file.

    Attributes:
        entries: In its order.
        begin: Where it begins.
        end: One past its last byte.
        finish: One past the end record and its comment.
        shift: Bytes before the archive, by which its offsets are off.
        end_at: Where the end record stands.
        comment: Where the comment begins.
        records: Begin and end of the zip64 records.
        lies: What its end record says that is not so.
    """

    entries: tuple[Entry, ...]
    begin: int
    end: int
    finish: int
    shift: int
    end_at: int
    comment: int
    records: tuple[tuple[int, int], ...]
    lies: tuple[str, ...]


def directories(stream: BinaryIO, size: int, *, far: bool = False) -> list[Directory]:
    """Return the directory of every end record near the end that leads to one, the last first.

    Args:
        stream: The file.
        size: Its bytes.
        far: Look further than a reader that keeps to the format.
    """
    length = _LONG_TAIL if far else _TAIL
    begin = max(0, size - length)
    stream.seek(begin)
    tail, found = stream.read(length), list[Directory]()
    place, left, entries = tail.rfind(END), _MOST_CANDIDATES, 0
    while place >= 0 and left and entries < _MOST_ENTRIES:
        left -= 1
        for directory in _candidates(stream, tail, place, begin, size):
            if all((d.begin, d.end_at) != (directory.begin, directory.end_at) for d in found):
                found.append(directory)
                entries += len(directory.entries)
        place = tail.rfind(END, 0, place)
    return found


def _candidates(stream: BinaryIO, tail: bytes, place: int, begin: int, size: int) -> Iterator[Directory]:
    """Yield the directories one end record leads to: counted back from it, and from the start of the file."""
    if len(tail) - place < 22:
        return
    disk, start_disk, here, count, length, offset, comment = struct.unpack_from("<4H2IH", tail, place + 4)
    lies = ["it is spread over several disks"] if (disk, start_disk) not in ((0, 0), (_FULL16, _FULL16)) else []
    end, records, plain = begin + place, list[tuple[int, int]](), (count, length, offset)
    if tail[max(0, place - 20) : place].startswith(_LOCATOR64):
        wide_at = _wide_end(tail, place, begin)
        if wide_at is not None:
            here64, count64, length64, offset64 = struct.unpack_from("<4Q", tail, wide_at - begin + 24)
            told = ((count, count64, _FULL16), (length, length64, _FULL32), (offset, offset64, _FULL32))
            if any(small not in (full, large) for small, large, full in told):
                lies.append("its zip64 record says other than its end record")
            if here64 != count64:
                lies.append("its zip64 record counts its members twice, differently")
            records, end = [(wide_at, end)], wide_at
            count, length, offset = count64, length64, offset64
        else:
            lies.append("it points at a zip64 record that is not there")
    elif here != count:
        lies.append("its end record counts its members twice, differently")
    finish = begin + place + 22 + comment
    if finish > size:
        lies.append("its comment is longer than the file")
    places = {end - length, offset}
    if records and _FULL32 not in plain[1:]:
        places |= {begin + place - plain[1], plain[2]}
    for at in sorted(places, reverse=True):
        if at < 0 or at + length > end or length > _LARGEST_DIRECTORY:
            continue
        stream.seek(at)
        data = stream.read(length)
        if data[:4] != CENTRAL and (length or at != end):
            continue
        shift = at - offset if at == end - length else 0
        entries, used = _central(data, shift)
        said = [*lies]
        if len(entries) != count:
            said.append(f"its end record counts {count:,} members, its directory lists {len(entries):,}")
        if used < length and data[used : used + 4] != b"PK\x05\x05":
            said.append(f"{length - used:,} bytes of its directory list no member")
        yield Directory(tuple(entries), at, at + length, min(finish, size), max(0, shift), begin + place,
                        begin + place + 22, tuple(records), tuple(said))  # fmt: skip


def _wide_end(tail: bytes, place: int, begin: int) -> int | None:
    """Return where the zip64 end record stands: where the locator says, or else right before it."""
    told = int.from_bytes(tail[place - 12 : place - 4], "little") - begin
    for at in (told, place - 76):
        if 0 <= at <= place - 76 and tail[at : at + 4] == _END64:
            return begin + at
    at = tail.rfind(_END64, 0, place - 75)
    return begin + at if at >= 0 else None


def _central(data: bytes, shift: int) -> tuple[list[Entry], int]:
    place, found = 0, list[Entry]()
    while data[place : place + 4] == CENTRAL and place + 46 <= len(data) and len(found) < _MOST_ENTRIES:
        fields = _CENTRAL_FIELDS.unpack_from(data, place)
        (_, made, _, flags, method, _, _, crc, packed, size, name, extra, comment, _, _, outer, offset) = fields
        spelled = data[place + 46 : place + 46 + name]
        more = data[place + 46 + name : place + 46 + name + extra]
        wide = _wide(more, (size, packed, offset))
        mode = outer >> 16 if made >> 8 == 3 else 0
        found.append(Entry(spelled, flags, method, crc, wide[1], wide[0], wide[2] + shift, 0, _unicode_name(more, spelled), mode))
        place += 46 + name + extra + comment
    return found, min(place, len(data))


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        yield kind, extra[place + 4 : place + 4 + length]
        place += 4 + length


def _wide(extra: bytes, plain: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return size, packed size and offset with their zip64 values where the plain ones are full."""
    values = list(plain)
    for kind, field in _fields(extra):
        if kind == 1:
            for k, value in enumerate(values):
                if value == _FULL32 and len(field) >= 8:
                    values[k], field = int.from_bytes(field[:8], "little"), field[8:]
    return values[0], values[1], values[2]


def _unicode_name(extra: bytes, name: bytes) -> bytes | None:
    """Return the name a Unicode Path field gives, if readers would believe it."""
    for kind, field in _fields(extra):
        if kind == 0x7075 and len(field) > 5 and int.from_bytes(field[1:5], "little") == zlib.crc32(name):
            return field[5:]
    return None


def local_at(stream: BinaryIO, at: int, size: int) -> Entry | None:
    """Return the member whose local header stands at a place, or None."""
    if at < 0 or at + 30 > size:
        return None
    stream.seek(at)
    head = stream.read(30)
    if len(head) < 30 or head[:4] != LOCAL:
        return None
    _, _, flags, method, _, _, crc, packed, length, name, extra = _LOCAL_FIELDS.unpack(head)
    spelled = stream.read(name)
    more = stream.read(extra)
    wide = _wide(more, (length, packed, 0))
    return Entry(spelled, flags, method, crc, wide[1], wide[0], at, at + 30 + name + extra, _unicode_name(more, spelled))


def descriptor_at(stream: BinaryIO, at: int, entry: Entry) -> tuple[int, bool]:
    """Return how long the data descriptor at a place is, 0 for none, and whether it says what the directory says."""
    stream.seek(at)
    data = stream.read(24)
    for lead in (_DESCRIPTOR, b""):
        for layout in ("<III", "<IQQ"):
            length = len(lead) + struct.calcsize(layout)
            fits = data.startswith(lead) and len(data) >= length
            if fits and struct.unpack_from(layout, data, len(lead)) == (entry.crc, entry.packed, entry.size):
                return length, True
    if data.startswith(_DESCRIPTOR):
        return (24 if len(data) >= 24 and data[16:20] not in (LOCAL, CENTRAL, _END64, END) else 16), False
    return 0, False
