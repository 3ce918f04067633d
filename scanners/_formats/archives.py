"""Members of archives and compressed files, read in place under ceilings and never extracted.

A zip is read twice, see ``zips``; where the readings disagree, every member either of them names is read and the
disagreement is told, because another reader may see the other one. Read by ``scanners.pickle_imports`` and ``kinds``.

Source:
    POSIX pax (tar); RFC 1950 to 1952; the file formats of xz and bzip2; numpy.lib.format.
"""

from __future__ import annotations

import ast
import bz2
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from governance.context import Limits
from scanners._formats.members import Member, Wanted
from scanners._formats.zips import zip_members

_MEMBER_BYTES = 512 * 2**20
_HEAD = 4096
#: A small file may unpack to this much whatever the ratio.
_SMALL = 1 << 20
#: Kinds whose members can be read here.
CONTAINERS = frozenset({"zip", "torch-zip", "tar", "gzip", "bzip2", "xz", "lzma", "zlib", "numpy"})


class _Decompressor(Protocol):
    """What the decompressors of the standard library share."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    @property
    def unused_data(self) -> bytes:
        """What follows the end."""

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes:
        """Return at most that many bytes."""


def members(stream: BinaryIO, kind: str, size: int, limits: Limits, wanted: Wanted) -> Iterator[Member]:
    """Yield the members of an archive, or the one content of a compressed file.

    Args:
        stream: The whole archive, seekable.
        kind: One of ``CONTAINERS``.
        size: Its bytes.
        limits: Ceilings for entries and ratio.
        wanted: Called with a member's name and first bytes; whether the rest is read.
    """
    match kind:
        case "zip" | "torch-zip":
            yield from zip_members(stream, size, limits, wanted)
        case "tar":
            yield from _tar(stream, limits, wanted)
        case "numpy":
            yield from _array(stream, size)
        case "gzip" | "bzip2" | "xz" | "lzma" | "zlib":
            yield _unpacked(stream, kind, size, limits)
        case _:
            return


def _tar(stream: BinaryIO, limits: Limits, wanted: Wanted) -> Iterator[Member]:
    try:
        with tarfile.open(fileobj=stream, mode="r:", errorlevel=1) as archive:
            for count, info in enumerate(archive):
                if count >= limits.archive_entries:
                    yield Member("", b"", f"more than {limits.archive_entries:,} members", whole=False)
                    return
                yield from _tar_member(archive, info, wanted)
    except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError) as error:
        yield Member("", b"", f"cannot be read as a tar archive: {error}", whole=False)


def _tar_member(archive: tarfile.TarFile, info: tarfile.TarInfo, wanted: Wanted) -> Iterator[Member]:
    if info.name.startswith(("/", "\\")) or ".." in info.name.replace("\\", "/").split("/"):
        yield Member(info.name, b"", escape="its name leaves the folder")
    if info.issym() or info.islnk() or info.isdev():
        what = f"a link to {info.linkname}" if info.issym() or info.islnk() else "a device"
        yield Member(info.name, b"", escape=f"it is {what}")
        return
    content = archive.extractfile(info) if info.isfile() else None
    if content is None:
        return
    data = content.read(min(_HEAD, info.size))
    if wanted(info.name, data):
        data += content.read(max(0, min(info.size, _MEMBER_BYTES) - len(data)))
        if len(data) < info.size:
            yield Member(info.name, data, "it is larger than allowed, or cut off", whole=False)
            return
    yield Member(info.name, data)


def _unpacked(stream: BinaryIO, kind: str, size: int, limits: Limits) -> Member:
    ceiling = min(_MEMBER_BYTES, size * limits.archive_ratio + _SMALL)
    stream.seek(0)
    packed, out = stream.read(_MEMBER_BYTES), b""
    try:
        while packed.strip(b"\0"):
            if len(out) >= ceiling:
                return Member("", out, "it unpacks to more than is allowed", whole=False, bomb=True)
            one = _DECOMPRESSORS[kind]()
            out += one.decompress(packed, ceiling - len(out))
            if not one.eof:
                more = len(out) >= ceiling
                words = "it unpacks to more than is allowed" if more else "it is cut off"
                return Member("", out, words, whole=False, bomb=more)
            packed = one.unused_data
            if packed and kind in ("zlib", "lzma"):
                return Member("", out, f"{len(packed):,} bytes follow the compressed data", whole=False)
    except (OSError, zlib.error, lzma.LZMAError, EOFError, ValueError, MemoryError) as error:
        return Member("", out, f"it cannot be unpacked whole: {error}", whole=False)
    return Member("", out)


def _array(stream: BinaryIO, size: int) -> Iterator[Member]:
    """Yield the pickle in an array file of objects; an array of numbers has none.

    Source:
        numpy.lib.format, versions 1.0 to 3.0.
    """
    stream.seek(6)
    version = stream.read(2)
    width = 2 if version[:1] == b"\x01" else 4
    length = int.from_bytes(stream.read(width), "little")
    if version[:1] not in (b"\x01", b"\x02", b"\x03") or length > 1 << 20 or length > size:
        yield Member("", b"", "its header cannot be true", whole=False)
        return
    try:
        header = ast.literal_eval(stream.read(length).decode("latin-1").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        header = None
    if not isinstance(header, dict) or "descr" not in header:
        yield Member("", b"", "its header cannot be read", whole=False)
        return
    if "O" in _kinds_of(header["descr"]):
        data = stream.read(_MEMBER_BYTES)
        yield Member("", data, whole=not stream.read(1))


def _kinds_of(descr: object) -> str:
    """Return the type letters of an array description, nested fields included."""
    if isinstance(descr, str):
        return descr.lstrip("<>=|")[:1]
    return "".join(_kinds_of(part) for field in descr for part in field[1:2]) if isinstance(descr, list | tuple) else ""


_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "zlib": lambda: zlib.decompressobj(15),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
    "lzma": lzma.LZMADecompressor,
}
