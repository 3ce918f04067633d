"""Members of zip, tar and gzip files, read in place under ceilings and never extracted.

A zip is read by its central directory and each member by its local header; where the two disagree the member is read
anyway and the disagreement is told, because another reader may see the other one.
"""

from __future__ import annotations

import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from governance.context import Limits

_MEMBER_BYTES = 256 * 2**20
_LOCAL = struct.Struct("<4s5H3I2H")


@dataclass(frozen=True)
class Member:
    """One member.

    Attributes:
        name: As the archive spells it.
        data: Its first bytes up to the ceiling; empty if it cannot be read.
        problem: Why it could not be read whole, or what its headers disagree on; None if neither.
        whole: Whether ``data`` is everything.
    """

    name: str
    data: bytes
    problem: str | None = None
    whole: bool = True


def members(path: Path, kind: str, limits: Limits) -> Iterator[Member]:
    """Yield the members of an archive.

    Args:
        path: The file.
        kind: ``zip``, ``torch-zip``, ``tar`` or ``gzip``.
        limits: Ceilings for entries and ratio.
    """
    match kind:
        case "zip" | "torch-zip":
            yield from _zip(path, limits)
        case "tar":
            yield from _tar(path, limits)
        case "gzip":
            yield _gzip(path, limits)
        case _:
            return


def _zip(path: Path, limits: Limits) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
            names = [i.filename for i in listed]
            for info in listed[: limits.archive_entries]:
                if info.is_dir():
                    continue
                twice = "its name occurs twice" if names.count(info.filename) > 1 else None
                yield _zip_member(archive, path, info, twice, limits)
            if len(listed) > limits.archive_entries:
                yield Member("", b"", f"more than {limits.archive_entries} members", whole=False)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        yield Member("", b"", f"cannot be read as a zip archive: {error}", whole=False)


def _zip_member(archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo, problem: str | None, limits: Limits) -> Member:
    ceiling = min(_MEMBER_BYTES, max(info.compress_size, 1) * limits.archive_ratio + 4096)
    try:
        with archive.open(info) as stream:
            data = stream.read(ceiling)
            whole = not stream.read(1)
        return Member(info.filename, data, problem if whole else "larger than allowed; the rest was not read", whole)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, ValueError, zlib.error, EOFError) as error:
        data, whole = _by_local_header(path, info, ceiling)
        return Member(info.filename, data, f"its headers disagree: {error}", whole)


def _by_local_header(path: Path, info: zipfile.ZipInfo, ceiling: int) -> tuple[bytes, bool]:
    """Read a member as a lenient loader would: ignoring flags, names and checksums. Returns (bytes, all of them)."""
    try:
        with path.open("rb") as stream:
            stream.seek(info.header_offset)
            fields = _LOCAL.unpack(stream.read(_LOCAL.size))
            stream.seek(fields[9] + fields[10], 1)
            raw = stream.read(min(info.compress_size or ceiling, ceiling))
        if fields[3] == zipfile.ZIP_DEFLATED:
            unpacked = zlib.decompressobj(-15)
            return unpacked.decompress(raw, ceiling), unpacked.eof
        return raw, fields[3] == zipfile.ZIP_STORED and len(raw) == info.compress_size
    except (OSError, struct.error, zlib.error, ValueError):
        return b"", False


def _tar(path: Path, limits: Limits) -> Iterator[Member]:
    try:
        with tarfile.open(path, "r:") as archive:
            for count, info in enumerate(archive):
                if count >= limits.archive_entries:
                    yield Member("", b"", f"more than {limits.archive_entries} members", whole=False)
                    return
                if info.islnk() or info.issym() or info.isdev():
                    yield Member(info.name, b"", "is a link or a device", whole=False)
                elif info.isfile() and (stream := archive.extractfile(info)) is not None:
                    data = stream.read(_MEMBER_BYTES)
                    whole = len(data) == info.size
                    yield Member(info.name, data, None if whole else "larger than allowed, or cut off", whole)
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        yield Member("", b"", f"cannot be read as a tar archive: {error}", whole=False)


def _gzip(path: Path, limits: Limits) -> Member:
    ceiling = _MEMBER_BYTES
    try:
        size = path.stat().st_size
        ceiling = min(ceiling, size * limits.archive_ratio + 4096)
        unpacked = zlib.decompressobj(31)
        with path.open("rb") as stream:
            data = unpacked.decompress(stream.read(_MEMBER_BYTES), ceiling)
        whole = unpacked.eof and not unpacked.unused_data
        return Member(path.stem, data, None if whole else "larger than allowed, cut off, or followed by more", whole)
    except (OSError, zlib.error) as error:
        return Member(path.stem, b"", f"cannot be read as gzip data: {error}", whole=False)
