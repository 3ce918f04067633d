"""Bytes of an HDF5 file on their way to the HDF5 library: collections of the global heap are checked before it sees them.

The library walks a collection by the sizes that stand in it, and walks for ever where one is zero.

Source:
    HDF5 file format 3.0, section III.E "Global Heap"; seen with HDF5 2.0.0.
"""

from __future__ import annotations

import io
from typing import BinaryIO

_MARK, _LARGEST = b"GCOL", 256 << 20


class Guard(io.RawIOBase):
    """A stream that refuses to hand out a heap collection whose sizes do not lead to its end."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream, self._at, self._checked = stream, 0, set[int]()
        self._end = stream.seek(0, io.SEEK_END)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._at = offset + (0 if whence == io.SEEK_SET else self._at if whence == io.SEEK_CUR else self._end)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what the library's driver hands in
        """Read the next bytes.

        Raises:
            OSError: A heap collection in them cannot be true.
        """
        before = min(self._at, len(_MARK) - 1)
        self._stream.seek(self._at - before)
        data = self._stream.read(before + len(buffer) + len(_MARK) - 1)
        place = data.find(_MARK)
        while place >= 0:
            start = self._at - before + place
            if start not in self._checked:
                self._checked.add(start)
                self._check(start)
            place = data.find(_MARK, place + 1)
        given = data[before : before + len(buffer)]
        buffer[: len(given)] = given
        self._at += len(given)
        return len(given)

    def _check(self, start: int) -> None:
        """Walk a collection as the library does, and make sure that every step leads on."""
        self._stream.seek(start)
        head = self._stream.read(16)
        size = int.from_bytes(head[8:16], "little")
        if len(head) < 16 or head[4] != 1:
            return  # the library refuses it by itself, or it is no collection at all
        if not 16 <= size <= min(_LARGEST, self._end - start):
            raise OSError(f"a heap collection at byte {start:,} is larger than the file")
        data, at = head + self._stream.read(size - 16), 16
        while at + 16 <= size:
            length = int.from_bytes(data[at + 8 : at + 16], "little")
            step = length if not int.from_bytes(data[at : at + 2], "little") else 16 + (length + 7) // 8 * 8
            if step < 16 or at + step > size:
                raise OSError(f"the heap collection at byte {start:,} does not lead to its end")
            at += step


def plain(stream: BinaryIO, base: int) -> bool:
    """Return whether an HDF5 file counts in eight bytes, as every writer does; the guard knows no other width.

    Args:
        stream: The file.
        base: Where its superblock begins.
    """
    stream.seek(base)
    head = stream.read(16)
    widths = head[13:15] if head[8:9] in (b"\0", b"\1") else head[9:11]
    return widths == b"\x08\x08"
