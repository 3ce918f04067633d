"""The parts of remote files that were fetched so far: kept in one file on disk, compared where two answers overlap."""

from __future__ import annotations

import os
import tempfile
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from governance.errors import CuratorError, SubjectError
from governance.ranges import Span

#: Two parts closer than this are fetched together: another request costs more than the bytes between them.
NEIGHBOURS = 16 << 10
#: What a part that goes on from one that is held repeats of it, so that a host that changes its answers is noticed.
OVERLAP = 16
#: Bytes of a part that stands alone, and bytes before it that come with it.
ALONE, BEFORE = 6 << 10, 32


class Shelf:
    """Bytes of any number of files, appended to one file that has no name.

    Args:
        folder: On the disk that is to hold them.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close
        self._end, self._turn = 0, threading.Lock()

    def add(self, data: bytes) -> int:
        """Keep bytes, and return where.

        Raises:
            CuratorError: The disk is full or failed.
        """
        with self._turn:
            at = self._end
            try:
                os.pwrite(self._file.fileno(), data, at)
            except OSError as error:
                raise CuratorError(f"parts of remote files cannot be kept: {error.strerror}", hint="free space") from error
            self._end += len(data)
        return at

    def read(self, at: int, length: int) -> bytes:
        """Return bytes that were kept."""
        return os.pread(self._file.fileno(), length, at)

    def close(self) -> None:
        """Let go of all of them."""
        self._file.close()


class Pieces:
    """The parts of one file that are here.

    Args:
        shelf: Holds their bytes.
        path: Of the file, for messages.
        size: Of the whole file.
    """

    def __init__(self, shelf: Shelf, path: str, size: int) -> None:
        self._shelf, self._path, self.size = shelf, path, size
        self._starts: list[int] = []
        self._held: list[tuple[int, int, int]] = []  # start, end, place on the shelf; sorted, apart from each other
        self.bytes = 0

    @property
    def whole(self) -> bool:
        """Whether every byte is here."""
        return self.bytes == self.size

    def sample(self, most: int) -> tuple[int, int] | None:
        """Return start and end of the first part that is here, at most so long; None if there is none."""
        return (self._held[0][0], min(self._held[0][1], self._held[0][0] + most)) if self._held else None

    def missing(self, spans: Iterable[Span]) -> list[tuple[int, int]]:
        """Return what has to be fetched to have these parts: (start, end), in order, near ones as one."""
        gaps = sorted(gap for at, length in spans for gap in self._gaps(at, at + length))
        merged: list[tuple[int, int]] = []
        for start, end in gaps:
            if merged and start - merged[-1][1] < NEIGHBOURS:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((start, end))
        return [self._fetched(start, end) for start, end in merged]

    def put(self, start: int, data: bytes) -> None:
        """Keep a part that was fetched.

        Raises:
            SubjectError: It differs from what an earlier answer held.
        """
        end = start + len(data)
        gaps = list(self._gaps(start, end))
        for low, high, at in self._over(start, end):
            left, right = max(low, start), min(high, end)
            if self._shelf.read(at + left - low, right - left) != data[left - start : right - start]:
                raise SubjectError(
                    f"{self._path}: the Hub answers the same question twice with different bytes (from {left} to {right})",
                    hint="do not use this mirror",
                )
        for low, high in gaps:
            place = bisect_left(self._starts, low)
            self._starts.insert(place, low)
            self._held.insert(place, (low, high, self._shelf.add(data[low - start : high - start])))
            self.bytes += high - low

    def get(self, spans: Sequence[Span]) -> bytes:
        """Return parts that are here, one after the other."""
        return b"".join(self._get(at, at + length) for at, length in spans)

    def _get(self, start: int, end: int) -> bytes:
        parts = [
            self._shelf.read(at + max(low, start) - low, min(high, end) - max(low, start))
            for low, high, at in self._over(start, end)
        ]
        return b"".join(parts)

    def _over(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield the held parts that share bytes with this one."""
        for place in range(max(0, bisect_right(self._starts, start) - 1), len(self._held)):
            low, high, at = self._held[place]
            if low >= end:
                return
            if high > start:
                yield low, high, at

    def _gaps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        for low, high, _ in self._over(start, end):
            if low > start:
                yield start, low
            start = max(start, high)
        if start < end:
            yield start, end

    def _fetched(self, start: int, end: int) -> tuple[int, int]:
        """Return what is asked for to have a part.

        One that goes on from a held part repeats the end of it; one that stands alone is long enough for what a reader that
        jumped there reads next, such as an archive's local header and the first bytes of its member, and holds the few bytes
        before it, where the checksum of the member before stands.
        """
        before = next(self._over(start - 1, start), None) if start else None
        if before is not None:
            return max(before[0], start - OVERLAP), end
        return max(0, start - BEFORE), min(max(end, start + ALONE), self.size)
