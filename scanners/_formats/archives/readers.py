"""Containers of every kind, read in place under ceilings and never extracted: archives, compressed files, arrays of objects.

Members open on demand; see ``zips`` and ``tars`` for what is read twice. Read by ``tree``.

Source:
    RFC 1950 to 1952; the file formats of xz and bzip2; zstd RFC 8878; the LZ4 frame format; numpy.lib.format.
"""

from __future__ import annotations

import ast
import re
from math import prod
from typing import BinaryIO

from governance.context import Limits
from scanners._formats.archives.members import Budget, Member, Numbers, Reading, Remark, Span, bomb, escape, leaves
from scanners._formats.archives.sevenzips import read_7z
from scanners._formats.archives.tars import read_tar
from scanners._formats.archives.unpacking import METHODS, Packed, can_go_back, missing, survey, window
from scanners._formats.archives.zip_parts import parts
from scanners._formats.archives.zip_records import Directory
from scanners._formats.archives.zips import read_zip

_SMALL, _KEPT = 8 << 20, 1 << 20
_COMPRESSED = frozenset(METHODS) - {"deflate"}
_ZIPS = frozenset({"zip", "torch-zip", "torchscript", "torch-export", "keras"})
#: Kinds whose members can be read here.
CONTAINERS = frozenset({"zip", "torch-zip", "torch-parts", "tar", "7z", "numpy"}) | _COMPRESSED
_LARGEST_HEADER = 1 << 20
_DTYPE = re.compile(r"[<>=|]?([a-zA-Z?])(\d{0,9})(\[[^\]]{0,20}\])?\Z")
#: Names of numbers and text; of every other spelling numpy may make an array of objects, which is a pickle.
_PLAIN = re.compile(r"(u?int|float|complex|bool|str|bytes|void)\d{0,3}_?\Z")


def read_container(
    stream: BinaryIO,
    kind: str,
    size: int,
    limits: Limits,
    budget: Budget,
    numbers: Numbers = lambda name: False,
    found: list[Directory] | None = None,
) -> Reading:
    """Return what a container holds.

    Args:
        stream: The whole container, seekable.
        kind: One of ``CONTAINERS``, or another kind of zip.
        size: Its bytes.
        limits: Ceilings for entries and ratio.
        budget: What may still be unpacked.
        numbers: Members of which only the beginning is looked at.
        found: Directories of a zip, if they were read before.
    """
    if kind in _ZIPS:
        return read_zip(stream, size, limits, budget, numbers, found)
    if kind == "tar":
        return read_tar(stream, size, limits, budget)
    if kind == "7z":
        return read_7z(stream, size, limits, budget)
    if kind == "numpy":
        return _array(stream, size)
    if kind == "torch-parts":
        spans = tuple(Span(begin, end, "member") for begin, end in parts(stream, size))
        return Reading(tuple(_part(s.start, s.end) for s in spans), spans=spans)
    return _unpacked(stream, kind, size, limits, budget) if kind in _COMPRESSED else Reading()


def _part(begin: int, end: int) -> Member:
    return Member(f"(archive at {begin})", end - begin, lambda parent, owns: window(parent, begin, end - begin, owns))


def _unpacked(stream: BinaryIO, kind: str, size: int, limits: Limits, budget: Budget) -> Reading:
    package = missing(kind)
    if package:
        return Reading(gaps=(f'install {package} (the extra "archives") to read it',), spans=(Span(0, size, "member"),))
    packed = Packed(0, size, kind)
    seen = survey(stream, packed, max(0, min(size * limits.archive_ratio + _SMALL, budget.bytes_left)), _kept(kind, budget))
    budget.bytes_left -= seen.size
    budget.memory_left -= len(seen.data or b"")
    remarks, gaps = list[Remark](), list[str]()
    if seen.over:
        words = "it unpacks to more than is allowed"
        remarks.append(bomb(words))
        gaps.append(words)
    elif seen.problem:
        gaps.append(seen.problem)
    end = seen.used if seen.streams and not gaps else size
    member = Member("", seen.size, seen.view(packed), len(seen.data or b""), gaps=tuple(gaps))
    name = _gzip_name(stream) if kind == "gzip" else ""
    if leaves(name):
        remarks.append(escape(f"its header calls what is in it {name!a}"))
    return Reading((member,), tuple(remarks), spans=(Span(0, end, "member"),))


def _kept(kind: str, budget: Budget) -> int:
    return _KEPT if can_go_back(kind) else max(_KEPT, budget.memory_left)


def _gzip_name(stream: BinaryIO) -> str:
    """Return the name the first header gives, or nothing."""
    stream.seek(0)
    head = stream.read(4096)
    flags, place = head[3] if len(head) > 3 else 0, 10
    if flags & 4:
        place += 2 + int.from_bytes(head[10:12], "little")
    return head[place:].split(b"\0")[0].decode("latin-1") if flags & 8 else ""


def _array(stream: BinaryIO, size: int) -> Reading:
    """Return the pickle in an array file of objects; an array of numbers has none.

    Source:
        numpy.lib.format, versions 1.0 to 3.0.
    """
    stream.seek(6)
    version = stream.read(2)
    width = 2 if version[:1] == b"\x01" else 4
    length = int.from_bytes(stream.read(width), "little")
    start = 8 + width + length
    if version[:1] not in (b"\x01", b"\x02", b"\x03") or length > _LARGEST_HEADER or start > size:
        return Reading(gaps=("its header cannot be true",), spans=(Span(0, size, "header"),))
    try:
        header = ast.literal_eval(stream.read(length).decode("latin-1").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        header = None
    if not isinstance(header, dict) or "descr" not in header:
        return Reading(gaps=("its header cannot be read",), spans=(Span(0, size, "header"),))
    own = (Span(0, start, "header"),)
    if "O" in _kinds_of(header["descr"]):
        left = size - start
        pickle = Member("", left, lambda parent, owns: window(parent, start, left, owns))
        return Reading((pickle,), spans=(*own, Span(start, size, "member")))
    each, shape = _width(header["descr"]), header.get("shape")
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        return Reading(gaps=("its header gives a shape that cannot be true",), spans=(*own, Span(start, size, "numbers")))
    if each is None:
        return Reading(spans=(*own, Span(start, size, "numbers")))
    end = start + each * prod(shape)
    if end > size:
        return Reading(
            gaps=("it is cut off, or its header asks for more than is there",), spans=(*own, Span(start, size, "numbers"))
        )
    return Reading(spans=(*own, Span(start, end, "numbers")))


def _kinds_of(descr: object) -> str:
    """Return the type letters of an array description, nested fields included."""
    if isinstance(descr, str):
        known = _DTYPE.match(descr)
        return known[1] if known else "" if _PLAIN.match(descr) else "O"
    if isinstance(descr, tuple) and len(descr) == 2 and not isinstance(descr[1], str):
        return _kinds_of(descr[0])
    fields = list(descr) if isinstance(descr, list | tuple) else [()]
    return "".join(_kinds_of(field[1]) if isinstance(field, list | tuple) and len(field) > 1 else "O" for field in fields)


def _width(descr: object) -> int | None:
    """Return the bytes of one element; None for a description that is no plain type."""
    known = _DTYPE.match(descr) if isinstance(descr, str) else None
    if known is None:
        return None
    letter, digits = known[1], known[2]
    if not digits:
        return {"b": 1, "?": 1}.get(letter)
    return int(digits) * (4 if letter == "U" else 1)
