"""A zip archive, read twice: by its central directory, and forward by its local headers. Every disagreement is told.

Loaders differ in which of the two they believe, whether they look at flags, names and checksums, and where they look for
the end record. So each member either reading names is read, and the entries must tile the file.

Source:
    PKWARE APPNOTE 6.3.10, sections 4.3 and 4.4; torch ``PyTorchStreamReader`` (miniz).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from governance.context import Limits
from scanners._formats.members import Member, Wanted

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64, _LOCATOR64, _DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
_LOCAL_FIELDS = struct.Struct("<4s5H3I2H")
_CENTRAL_FIELDS = struct.Struct("<4s6H3I5H2I")
_STORED, _DEFLATED = 0, 8
_HEAD = 4096
_MEMBER_BYTES = 512 * 2**20
#: An end record is looked for in this many bytes at the end, twice what the format allows, as some readers look further.
_TAIL = 1 << 18
_SMALL = 1 << 20
_LARGEST_DIRECTORY = 64 * 2**20


@dataclass(frozen=True)
class _Entry:
    """One member as one of the two readings has it."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    at: int
    data_at: int = 0


def is_zip(stream: BinaryIO, size: int) -> bool:
    """Return whether a zip begins at the start of a file, or an end record near its end points at a directory inside it."""
    stream.seek(0)
    if stream.read(4) in (_LOCAL, _END):
        return True
    return bool(_directories(stream, size))


def zip_members(stream: BinaryIO, size: int, limits: Limits, wanted: Wanted) -> Iterator[Member]:
    """Yield every member that either reading names, then what the readings disagree on.

    Args:
        stream: The archive, seekable.
        size: Its bytes.
        limits: Ceilings for entries and ratio.
        wanted: Whether a member's rest is read.
    """
    directories = _directories(stream, size)
    listed = {e.at: e for d in directories for e in d.entries[: limits.archive_entries]}
    entries: list[_Entry] = []
    for entry in listed.values():
        local = _local(stream, entry.at, size)
        if local is None:
            yield Member(_text(entry.name), b"", "it has no local header where the directory says", whole=False,
                         disagreement="the directory names a member that is not there")  # fmt: skip
            continue
        joined, disagreement = _joined(entry, local)
        entries.append(joined)
        yield _read(stream, joined, size, limits, wanted, disagreement)
    if not directories:
        forward = list(_forward(stream, size, limits.archive_entries))
        for entry in forward:
            yield _read(stream, entry, size, limits, wanted, None)
        yield Member("", b"", "it has no end record; members were read by their local headers", whole=False,
                     disagreement="it has no directory that the end of the file leads to")  # fmt: skip
        return
    for words in _untidy(stream, size, directories, entries, limits):
        yield Member("", b"", disagreement=words)
    if any(len(d.entries) > limits.archive_entries for d in directories):
        yield Member("", b"", f"more than {limits.archive_entries:,} members", whole=False, bomb=True)


@dataclass(frozen=True)
class _Directory:
    """One central directory that an end record points at; offsets are those in the file."""

    entries: tuple[_Entry, ...]
    begin: int
    end: int
    shift: int


def _directories(stream: BinaryIO, size: int) -> list[_Directory]:
    """Return the directory of every end record near the end of the file that leads to one, the last first."""
    begin = max(0, size - _TAIL)
    stream.seek(begin)
    tail, found = stream.read(_TAIL), list[_Directory]()
    place = tail.rfind(_END)
    while place >= 0 and len(found) < 8:
        directory = _directory(stream, tail, place, begin)
        nested = directory is not None and bool(found) and not found[0].shift and directory.end <= found[0].begin
        if directory is not None and not nested:  # an archive stored inside a member has end records of its own
            found.append(directory)
        place = tail.rfind(_END, 0, place)
    return found


def _directory(stream: BinaryIO, tail: bytes, place: int, begin: int) -> _Directory | None:
    if len(tail) - place < 22:
        return None
    count, length, offset, comment = struct.unpack_from("<HIIH", tail, place + 10)
    end = at = begin + place
    if 0xFFFF in (count,) or 0xFFFFFFFF in (length, offset):
        wide = tail.rfind(_END64, 0, place)
        if wide < 0 or len(tail) - wide < 56:
            return None
        count, length, offset = struct.unpack_from("<QQQ", tail, wide + 32)
        at = begin + wide
    elif tail[place - 20 : place].startswith(_LOCATOR64):  # torch writes zip64 records whether it needs them or not
        wide = tail.rfind(_END64, 0, place)
        at = begin + wide if wide >= 0 else at
    shift = at - length - offset
    if shift < 0 or length > _LARGEST_DIRECTORY:
        return None
    stream.seek(offset + shift)
    data = stream.read(length)
    entries = tuple(_central(data, shift))
    if len(entries) != count or (not entries and count):
        return None
    return _Directory(entries, offset + shift, end + 22 + comment, shift)


def _central(data: bytes, shift: int) -> Iterator[_Entry]:
    place = 0
    while data[place : place + 4] == _CENTRAL and place + 46 <= len(data):
        fields = _CENTRAL_FIELDS.unpack_from(data, place)
        (_, _, _, flags, method, _, _, crc, packed, size, name, extra, comment, _, _, _, offset) = fields
        wide = _wide(data[place + 46 + name : place + 46 + name + extra], size, packed, offset)
        yield _Entry(data[place + 46 : place + 46 + name], flags, method, crc, wide[1], wide[0], wide[2] + shift)
        place += 46 + name + extra + comment


def _wide(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Return size, packed size and offset with their zip64 values where the plain ones are full."""
    place, values = 0, [size, packed, offset]
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        if kind == 1:
            field = extra[place + 4 : place + 4 + length]
            for k, value in enumerate(values):
                if value == 0xFFFFFFFF and len(field) >= 8:
                    values[k], field = int.from_bytes(field[:8], "little"), field[8:]
        place += 4 + length
    return values[0], values[1], values[2]


def _local(stream: BinaryIO, at: int, size: int) -> _Entry | None:
    if at + 30 > size:
        return None
    stream.seek(at)
    head = stream.read(30)
    if head[:4] != _LOCAL:
        return None
    _, _, flags, method, _, _, crc, packed, length, name, extra = _LOCAL_FIELDS.unpack(head)
    spelled = stream.read(name)
    wide = _wide(stream.read(extra), length, packed, 0)
    return _Entry(spelled, flags, method, crc, wide[1], wide[0], at, at + 30 + name + extra)


def _joined(central: _Entry, local: _Entry) -> tuple[_Entry, str | None]:
    """Return the entry to read, and what the two headers disagree on."""
    found = []
    if central.name != local.name:
        found.append(f"its local header calls it {_text(local.name)!a}")
    if central.method != local.method:
        found.append(f"methods {central.method} and {local.method}")
    if (central.flags ^ local.flags) & 1:
        found.append("one header says it is encrypted")
    if not local.flags & 8 and (central.packed, central.size, central.crc) != (local.packed, local.size, local.crc):
        found.append("sizes or checksums differ")
    method = local.method if local.method in (_STORED, _DEFLATED) else central.method
    return replace(central, method=method, data_at=local.data_at, flags=central.flags & local.flags), "; ".join(found) or None


def _read(stream: BinaryIO, entry: _Entry, size: int, limits: Limits, wanted: Wanted, disagreement: str | None) -> Member:
    name = _text(entry.name)
    escape = "its name leaves the folder" if _escapes(name) else None
    made = Member(name, b"", disagreement=disagreement, escape=escape)
    if name.endswith("/") and not entry.packed:
        return made
    if entry.method not in (_STORED, _DEFLATED):
        return replace(made, problem=f"it is packed by method {entry.method}, which is not read here", whole=False)
    if entry.packed > size - entry.data_at:
        made = replace(made, problem="it is cut off", whole=False)
    stream.seek(entry.data_at)
    if entry.method == _STORED:
        return _stored(stream, entry, made, wanted)
    return _inflated(stream.read(min(entry.packed, _MEMBER_BYTES)), entry, made, limits, wanted)


def _stored(stream: BinaryIO, entry: _Entry, made: Member, wanted: Wanted) -> Member:
    data = stream.read(min(_HEAD, entry.packed))
    if not wanted(made.name, data):
        return replace(made, data=data)
    data += stream.read(max(0, min(entry.packed, _MEMBER_BYTES) - len(data)))
    if entry.packed > _MEMBER_BYTES:
        return replace(made, data=data, problem="it is larger than allowed", whole=False)
    return _checked(made, data, entry)


def _inflated(packed: bytes, entry: _Entry, made: Member, limits: Limits, wanted: Wanted) -> Member:
    ceiling = min(_MEMBER_BYTES, len(packed) * limits.archive_ratio + _SMALL)
    unpack = zlib.decompressobj(-15)
    try:
        data = unpack.decompress(packed, _HEAD)
        if wanted(made.name, data):
            data += unpack.decompress(unpack.unconsumed_tail, max(1, ceiling - len(data)))
    except zlib.error as error:
        words = "it is encrypted, or not packed as it says" if entry.flags & 1 else f"it cannot be unpacked: {error}"
        return replace(made, problem=words, whole=False)
    if not wanted(made.name, data[:_HEAD]):
        return replace(made, data=data)
    if not unpack.eof:
        more = len(data) >= ceiling
        words = "it unpacks to more than is allowed" if more else "it is cut off"
        return replace(made, data=data, problem=words, whole=False, bomb=more)
    return _checked(made, data, entry)


def _checked(made: Member, data: bytes, entry: _Entry) -> Member:
    """Compare checksum and flags; the data is scanned all the same, as some loaders look at neither."""
    wrong = []
    if zlib.crc32(data) != entry.crc:
        wrong.append("its checksum is wrong")
    if entry.flags & 1 and not wrong:
        wrong.append("it says it is encrypted and is not")
    return replace(made, data=data, disagreement="; ".join(filter(None, (made.disagreement, *wrong))) or None)


def _forward(stream: BinaryIO, size: int, most: int) -> Iterator[_Entry]:
    """Yield members by their local headers alone, for an archive without a directory."""
    at = 0
    for _ in range(most):
        entry = _local(stream, at, size)
        if entry is None:
            return
        yield entry
        at = entry.data_at + entry.packed
        if at > size:
            return
        stream.seek(at)
        if entry.flags & 8 and stream.read(4) == _DESCRIPTOR:
            at += 16


def _untidy(stream: BinaryIO, size: int, directories: list[_Directory], entries: list[_Entry], limits: Limits) -> Iterator[str]:
    """Yield where the members, the directory and the end record do not tile the file exactly once."""
    first = directories[0]
    names = [e.name for e in entries]
    twice = sorted({_text(n) for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
    if twice:
        yield f"the name {twice[0]!a} occurs more than once"
    folded = {n.lower() for n in names}
    if len(folded) < len(set(names)):
        yield "two names differ by case only"
    if len(directories) > 1:
        yield "it has more than one end record that leads to a directory"
    if first.end < size:
        yield f"{size - first.end:,} bytes follow its end record"
    if first.shift:
        yield f"{first.shift:,} bytes stand before the archive"
    reached = first.shift
    for entry in sorted(entries[: limits.archive_entries], key=lambda e: e.at):
        if entry.at < reached:
            yield f"{_text(entry.name)!a} overlaps the member before it"
        elif entry.at - reached > 24 or (entry.at > reached and not _is_descriptor(stream, reached)):
            yield f"{entry.at - reached:,} bytes before {_text(entry.name)!a} belong to no member"
        reached = max(reached, entry.data_at + entry.packed)
    if first.begin - reached > 24:
        yield f"{first.begin - reached:,} bytes before the directory belong to no member"


def _is_descriptor(stream: BinaryIO, at: int) -> bool:
    """Return whether a data descriptor stands here; some writers leave out its signature, none its length."""
    stream.seek(at)
    return stream.read(4) == _DESCRIPTOR


def _escapes(name: str) -> bool:
    plain = name.replace("\\", "/")
    return plain.startswith("/") or ".." in plain.split("/") or plain[1:2] == ":" or "\0" in name


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
