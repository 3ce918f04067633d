"""The bytes of a pickle stream: all of them in memory, or a few pages of a stream too long for that.

Read by ``pickles.arguments`` and ``pickles.machine``, which ask for single bytes and short stretches and step over the rest.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import BinaryIO, Protocol, SupportsIndex, overload

#: Of a longer constant or line only this much is read.
LONGEST = 32 << 20
#: Constants longer than this are read again when they are looked at, not kept.
LONG = 1 << 20
_PAGE, _PAGES = 1 << 18, 16


class Octets(Protocol):
    """What the walk needs of a byte string."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, at: SupportsIndex, /) -> int: ...

    @overload
    def __getitem__(self, at: slice, /) -> bytes: ...

    def find(self, sub: bytes, start: int, /) -> int:
        """Return where something begins from a place on, or -1."""


class Paged:
    """A stream as a byte string; only the pages asked for last are in memory."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size = stream, size
        self._pages: OrderedDict[int, bytes] = OrderedDict()

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, at: SupportsIndex, /) -> int: ...

    @overload
    def __getitem__(self, at: slice, /) -> bytes: ...

    def __getitem__(self, at: SupportsIndex | slice, /) -> int | bytes:
        if not isinstance(at, slice):
            place = at.__index__()
            return self._page(place // _PAGE)[place % _PAGE]
        start, stop, _ = at.indices(self._size)
        number = start // _PAGE
        if stop <= (number + 1) * _PAGE:
            return self._page(number)[start - number * _PAGE : stop - number * _PAGE]
        self._stream.seek(start)
        return self._stream.read(max(0, stop - start))

    def find(self, sub: bytes, start: int, /) -> int:
        """Return where a single byte stands from a place on, or -1."""
        number = start // _PAGE
        while number * _PAGE < self._size:
            found = self._page(number).find(sub, max(0, start - number * _PAGE))
            if found >= 0:
                return number * _PAGE + found
            number += 1
        return -1

    def _page(self, number: int) -> bytes:
        known = self._pages.get(number)
        if known is None:
            self._stream.seek(number * _PAGE)
            known = self._pages[number] = self._stream.read(min(_PAGE, self._size - number * _PAGE))
            if len(self._pages) > _PAGES:
                self._pages.popitem(last=False)
        return known
