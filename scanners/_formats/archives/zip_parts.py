"""Zip archives written one behind the other, as PyTorch's distributed checkpoints keep one for each tensor.

Read by ``kinds``, which tells such a file, and ``archives``, which opens each part as an archive of its own.

Source:
    torch 2.13 ``distributed/checkpoint/filesystem.py``: ``torch.save`` into one stream; offsets and lengths are in ``.metadata``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from scanners._formats.archives.zip_records import CENTRAL, END, LOCAL

_END64, _LOCATOR64 = b"PK\x06\x06", b"PK\x06\x07"
_CHUNK, _LARGEST, _MOST = 1 << 20, 4 << 30, 20_000


def parts(stream: BinaryIO, size: int) -> list[tuple[int, int]]:
    """Return where each archive begins and ends if the file is at least two complete ones with nothing between, else nothing."""
    found, begin = list[tuple[int, int]](), 0
    while begin < size <= _LARGEST and len(found) < _MOST:
        end = next((e for at in _ends(stream, begin, size) if (e := _finish(stream, begin, at))), 0)
        if not end or end > size:
            return []
        found.append((begin, end))
        begin = end
    return found if len(found) > 1 and begin == size else []


def _ends(stream: BinaryIO, begin: int, size: int) -> Iterator[int]:
    """Yield where end records may stand, from a place on."""
    stream.seek(begin)
    if stream.read(4) != LOCAL:
        return
    at = begin
    while at < size:
        stream.seek(at)
        data = stream.read(_CHUNK + 3)
        place = data.find(END)
        while 0 <= place < _CHUNK:
            yield at + place
            place = data.find(END, place + 1)
        at += _CHUNK


def _finish(stream: BinaryIO, begin: int, at: int) -> int:
    """Return where an archive ends whose end record stands at a place and leads to a directory right before it; 0 if none does."""
    stream.seek(max(begin, at - 20))
    before = stream.read(at - max(begin, at - 20))
    length, offset, comment = struct.unpack("<2IH", stream.read(22)[12:22].ljust(10, b"\0"))
    end = at
    if before.startswith(_LOCATOR64) and len(before) == 20:
        end = begin + int.from_bytes(before[8:16], "little")
        stream.seek(end)
        record = stream.read(56)
        if record[:4] != _END64 or len(record) < 56:
            return 0
        length, offset = struct.unpack("<2Q", record[40:56])
    stream.seek(begin + offset)
    return at + 22 + comment if begin + offset + length == end and stream.read(4) == CENTRAL else 0
