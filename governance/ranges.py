"""A remote file read piece by piece: what a triage opens where an audit opens a verified copy.

Made by ``governance.context`` in the child that parses; the bytes are asked of the curator's own process, which has the network.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

from governance.errors import SubjectError

#: Offset and length of a part of a file.
Span = tuple[int, int]
#: Gives the bytes of some parts of a file, one after the other: repository, path, parts. All parts lie inside the file.
Fetch = Callable[[str, str, Sequence[Span]], bytes]
#: Most bytes, and most parts, of one answer.
MOST_ASKED, MOST_SPANS = 4 << 20, 4_096
_BUFFER = 1 << 10
_FIRST, _MOST_AHEAD = 1 << 10, 1 << 20
#: Most bytes that are held because they were announced.
_MOST_ANNOUNCED = 32 << 20


def no_ranges(name: str, path: str, spans: Sequence[Span]) -> bytes:
    """Refuse: nobody can be asked for ranges here."""
    raise SubjectError(f"{name}: {path} is not here and cannot be asked for")


def ranged(ask: Callable[[Sequence[Span]], bytes], size: int) -> BinaryIO:
    """Return a seekable file of ``size`` bytes whose content is asked for as it is read.

    Args:
        ask: Takes parts of the file.
        size: Bytes of the whole file, as listed.
    """
    return io.BufferedReader(_Ranged(ask, size), _BUFFER)


def will_read(stream: BinaryIO, spans: Iterable[Span]) -> None:
    """Say which parts will be read, so that they are asked for together; without effect on a file that is here.

    A reader that jumps (the local headers of an archive, the first bytes of many tensors) spares a round trip for each jump.

    Args:
        stream: As opened by ``RunContext.open``.
        spans: Parts; what lies outside the file is left out.

    Raises:
        SubjectError: The bytes cannot be had.
    """
    raw = getattr(stream, "raw", None)
    if isinstance(raw, _Ranged):
        raw.announce(spans)


class _Ranged(io.RawIOBase):
    """A file whose bytes are asked for as they are read; ahead of the reader only while it reads on without a jump."""

    def __init__(self, ask: Callable[[Sequence[Span]], bytes], size: int) -> None:
        self._ask, self._size, self._at = ask, size, 0
        self._window, self._begin, self._run = b"", 0, 0
        self._places: list[int] = []
        self._pieces: list[bytes] = []

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
        if not self._begin <= self._at < self._begin + len(self._window):
            self._move(len(buffer))
        place = self._at - self._begin
        data = self._window[place : place + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def announce(self, spans: Iterable[Span]) -> None:
        """Fetch what will be read; what was announced before is let go."""
        wanted = sorted({(at, min(n, self._size - at)) for at, n in spans if 0 <= at < self._size and n > 0})
        self._places, self._pieces, held = [], [], 0
        for batch in _batches(wanted):
            data, place = self._ask(batch), 0
            for at, length in batch:
                self._places.append(at)
                self._pieces.append(data[place : place + length])
                place += length
            held += place
            if held > _MOST_ANNOUNCED:
                return

    def _move(self, wanted: int) -> None:
        """Put the window where the reader is."""
        known = bisect_right(self._places, self._at) - 1
        if known >= 0 and self._at < self._places[known] + len(self._pieces[known]):
            self._window, self._begin = self._pieces[known], self._places[known]
            return
        goes_on = bool(self._window) and self._at == self._begin + len(self._window)
        self._run = self._run + len(self._window) if goes_on else 0
        ahead = min(max(self._run // 4, _FIRST), _MOST_AHEAD)
        length = min(max(wanted, ahead), MOST_ASKED, max(0, self._size - self._at))
        self._window, self._begin = (self._ask([(self._at, length)]) if length else b""), self._at


def _batches(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Yield spans in groups that one answer can hold; a longer one is left to be asked for when it is read."""
    batch, total = list[Span](), 0
    for span in spans:
        if span[1] > MOST_ASKED:
            continue
        if batch and (total + span[1] > MOST_ASKED or len(batch) == MOST_SPANS):
            yield batch
            batch, total = [], 0
        batch.append(span)
        total += span[1]
    if batch:
        yield batch
