"""A remote file read piece by piece: what a triage opens where an audit opens a verified copy.

Made by ``governance.context`` in the child that parses; the bytes are asked of the curator's own process, which has the network.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO

from governance.errors import SubjectError

#: Gives bytes of a file: repository, path, offset, length. Fewer than asked for only at the end of the file.
Fetch = Callable[[str, str, int, int], bytes]
_BUFFER = 1 << 16


def no_ranges(name: str, path: str, offset: int, length: int) -> bytes:
    """Refuse: nobody can be asked for ranges here."""
    raise SubjectError(f"{name}: {path} is not here and cannot be asked for")


def ranged(ask: Callable[[int, int], bytes], size: int) -> BinaryIO:
    """Return a seekable file of ``size`` bytes whose content is asked for as it is read.

    Args:
        ask: Takes offset and length.
        size: Bytes of the whole file, as listed.
    """
    return io.BufferedReader(_Ranged(ask, size), _BUFFER)


class _Ranged(io.RawIOBase):
    """A file whose bytes are asked for as they are read."""

    def __init__(self, ask: Callable[[int, int], bytes], size: int) -> None:
        self._ask, self._size, self._at = ask, size, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, and return the new place."""
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer from here on, and return how far it was filled."""
        wanted = min(len(buffer), max(0, self._size - self._at))
        data = self._ask(self._at, wanted) if wanted else b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
