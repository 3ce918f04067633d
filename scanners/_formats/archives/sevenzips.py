"""A 7z archive, through the extra ``archives``: its members are unpacked into memory under a ceiling, never onto a disk.

Without the extra, encrypted, or larger than the ceiling, it is not scanned, and says so. Read by ``archives``.

Source:
    7-Zip, 7zFormat.txt; py7zr 1.1, ``SevenZipFile`` and ``WriterFactory``.
"""

from __future__ import annotations

import io
from importlib import import_module
from typing import BinaryIO

from governance.context import Limits
from scanners._formats.archives.members import Budget, Member, Reading, Remark, Span, bomb, disagreement, escape, leaves
from scanners._formats.archives.unpacking import memory

#: Bytes of all members together that are kept in memory.
_MOST = 64 << 20
_SMALL = 8 << 20
_MAGIC = b"7z\xbc\xaf\x27\x1c"


class _TooMuchError(Exception):
    """More came out than the archive said or the ceiling allows."""


class _Sink(io.BytesIO):
    """Takes one member."""

    def __init__(self, factory: _Factory) -> None:
        super().__init__()
        self._factory = factory

    def write(self, data: bytes | bytearray, /) -> int:  # type: ignore[override]
        """Take some bytes, if there is still room."""
        self._factory.left -= len(data)
        if self._factory.left < 0:
            raise _TooMuchError
        return super().write(data)

    def size(self) -> int:
        """Return how many bytes were taken."""
        return self.getbuffer().nbytes

    def close(self) -> None:
        """Stay open: what was taken is read afterwards."""


class _Factory:
    """Makes a sink for each member; a name may occur more than once."""

    def __init__(self, left: int) -> None:
        self.left, self.made = left, list[tuple[str, _Sink]]()

    def create(self, filename: str) -> _Sink:
        """Return where the member of this name goes."""
        sink = _Sink(self)
        self.made.append((filename, sink))
        return sink


def read_7z(stream: BinaryIO, size: int, limits: Limits, budget: Budget) -> Reading:
    """Return the members of a 7z archive."""
    spans = (Span(0, _length(stream, size), "archive"),)
    try:
        library = import_module("py7zr")
    except ImportError:
        return Reading(gaps=('install py7zr (the extra "archives") to read it',), spans=spans)
    ceiling = max(0, min(_MOST, size * limits.archive_ratio + _SMALL, budget.bytes_left))
    factory, remarks, gaps = _Factory(ceiling), list[Remark](), list[str]()
    members = list[Member]()
    try:
        stream.seek(0)
        with library.SevenZipFile(stream, "r") as archive:
            listed = archive.list()
            if len(listed) > min(limits.archive_entries, budget.members_left):
                return Reading(
                    remarks=(bomb(f"it has {len(listed):,} members"),), gaps=(f"it has {len(listed):,} members",), spans=spans
                )
            told = sum(max(0, int(f.uncompressed)) for f in listed)
            if told > ceiling:
                words = f"it unpacks to {told:,} bytes, more than is read"
                return Reading(remarks=(bomb(words),), gaps=(words,), spans=spans)
            odd = {f.filename: _odd(f.filename, link=bool(f.is_symlink)) for f in listed}
            members += [Member(name, remarks=said) for name, said in odd.items() if said]
            if len({f.filename for f in listed}) < len(listed):
                remarks.append(disagreement("a name occurs more than once"))
            if archive.needs_password():
                return Reading(tuple(members), tuple(remarks), ("it is encrypted",), spans)
            archive.extractall(factory=factory)
    except _TooMuchError:
        remarks.append(bomb("it unpacks to more than is allowed"))
        gaps.append("it unpacks to more than is allowed")
    except Exception as error:  # noqa: BLE001 - the library has many errors of its own, and none may end a scan
        gaps.append(f"it cannot be unpacked whole: {type(error).__name__}")
    budget.bytes_left -= ceiling - factory.left
    budget.members_left -= len(factory.made)
    members += [_member(name, sink.getvalue()) for name, sink in factory.made]
    return Reading(tuple(members), tuple(remarks), tuple(gaps), spans)


def _member(name: str, data: bytes) -> Member:
    return Member(name, len(data), lambda parent, owns: memory(data, parent, owns), len(data))


def _odd(name: str, *, link: bool) -> tuple[Remark, ...]:
    said = [escape("its name leaves the folder")] if leaves(name) else []
    return (*said, escape("it is a link")) if link else tuple(said)


def _length(stream: BinaryIO, size: int) -> int:
    """Return where the archive ends, as its start header says; the whole file if that cannot be."""
    stream.seek(0)
    head = stream.read(32)
    end = 32 + int.from_bytes(head[12:20], "little") + int.from_bytes(head[20:28], "little")
    return end if head[:6] == _MAGIC and end <= size else size
