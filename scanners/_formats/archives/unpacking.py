"""Parts of a stream as streams, and compressed data as a stream that can be read at any place without holding it.

Made for the readers of archives. A compressed member is unpacked as it is read; going back unpacks again from the nearest
mark. Nothing is written to a disk.

Source:
    RFC 1950 to 1952; the file formats of xz, lzma and bzip2; PKWARE APPNOTE 6.3.10, section 5.8 (LZMA in a zip).
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import BinaryIO, Protocol

_CHUNK = 1 << 16
#: Unpacked bytes between two marks from which unpacking can go on.
_MARK_EVERY = 4 << 20
_LZMA_MEMORY = 256 << 20


class Decoder(Protocol):
    """What the decompressors of the standard library and of the extras share."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    @property
    def unused_data(self) -> bytes:
        """What follows the end."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out without more going in."""

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes:
        """Return at most that many bytes."""


class _Zlib:
    """A zlib decompressor with the manners of the others, and one that can be copied."""

    def __init__(self, wbits: int, inner: zlib._Decompress | None = None, tail: bytes = b"") -> None:
        self._inner, self._tail, self._full = inner or zlib.decompressobj(wbits), tail, False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._tail and not self._full and not self._inner.eof

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        out = self._inner.decompress(self._tail + data, max(1, max_length))
        self._tail, self._full = self._inner.unconsumed_tail, len(out) >= max_length
        return out

    def copy(self) -> _Zlib:
        return _Zlib(0, self._inner.copy(), self._tail)


class _Foreign:
    """A decompressor of an extra, with the manners of the standard library's."""

    def __init__(self, inner: Decoder, fault: type[Exception]) -> None:
        self._inner, self._fault = inner, fault

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data or b""

    @property
    def needs_input(self) -> bool:
        return self._inner.needs_input

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        try:
            return self._inner.decompress(data, max_length)
        except self._fault as error:
            raise ValueError(str(error)) from error


def _extra(module: str, name: str, fault: str) -> Decoder:
    found = import_module(module)
    return _Foreign(getattr(found, name)(), getattr(found, fault, RuntimeError))


def _zstd() -> Decoder:
    try:
        return _extra("compression.zstd", "ZstdDecompressor", "ZstdError")
    except ImportError:
        return _extra("backports.zstd", "ZstdDecompressor", "ZstdError")


@dataclass(frozen=True)
class Method:
    """One way data is compressed.

    Attributes:
        make: Makes a decoder.
        magic: How a further stream after the first begins; None if there is none.
        extra: The package to install for it, or empty.
    """

    make: Callable[[], Decoder]
    magic: bytes | None = None
    extra: str = ""


METHODS = {
    "deflate": Method(lambda: _Zlib(-15)),
    "gzip": Method(lambda: _Zlib(31), b"\x1f\x8b"),
    "zlib": Method(lambda: _Zlib(15)),
    "bzip2": Method(bz2.BZ2Decompressor, b"BZh"),
    "xz": Method(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY), b"\xfd7zXZ"),
    "lzma": Method(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY)),
    "zstd": Method(_zstd, b"\x28\xb5\x2f\xfd", "backports.zstd"),
    "lz4": Method(lambda: _extra("lz4.frame", "LZ4FrameDecompressor", "RuntimeError"), b"\x04\x22\x4d\x18", "lz4"),
}
FAULTS = (OSError, zlib.error, lzma.LZMAError, EOFError, ValueError, MemoryError, RuntimeError)


def missing(method: str) -> str | None:
    """Return the package that has to be installed for a method, or None if it can be read."""
    known = METHODS[method]
    if not known.extra:
        return None
    try:
        known.make()
    except ImportError:
        return known.extra
    return None


class _Raw(io.RawIOBase):
    """A stream over another one."""

    def __init__(self, parent: BinaryIO, size: int, owns: bool) -> None:
        self._parent, self._size, self._owns, self._at = parent, size, owns, 0

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
        data = self._some(min(len(buffer), max(0, self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _some(self, wanted: int) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        """Close it, and the stream below if it owns that."""
        if self._owns and not self.closed:
            self._parent.close()
        super().close()


class _Window(_Raw):
    """A stretch of another stream."""

    def __init__(self, parent: BinaryIO, start: int, size: int, owns: bool) -> None:
        super().__init__(parent, size, owns)
        self._start = start

    def _some(self, wanted: int) -> bytes:
        if not wanted:
            return b""
        self._parent.seek(self._start + self._at)
        return self._parent.read(wanted)


def window(parent: BinaryIO, start: int, size: int, owns: bool) -> BinaryIO:
    """Return ``size`` bytes of a stream from ``start`` on, as a stream."""
    return io.BufferedReader(_Window(parent, start, size, owns))


def memory(data: bytes, parent: BinaryIO, owns: bool) -> BinaryIO:
    """Return bytes as a stream; the stream they came from is closed if it is owned."""
    if owns:
        parent.close()
    return io.BytesIO(data)


@dataclass(frozen=True)
class Packed:
    """Where compressed data lies and how it is compressed; ``lead`` goes in front of it, which LZMA in a zip needs."""

    start: int
    size: int
    method: str
    lead: bytes = b""


class Flow:
    """Compressed data on its way out.

    Attributes:
        out: Bytes that came out so far.
        used: Compressed bytes that belong to complete streams.
        problem: Why no more comes, if that is not the end.
        streams: Complete streams.
    """

    def __init__(self, parent: BinaryIO, packed: Packed, marks: list[tuple[int, int, _Zlib]] | None = None) -> None:
        self._parent, self._packed, self._marks = parent, packed, marks
        self._decoder: Decoder | None = METHODS[packed.method].make()
        self._fed, self.out, self.used, self.streams = 0, 0, 0, 0
        self.problem: str | None = None
        self._lead = packed.lead

    def resume(self, mark: tuple[int, int, _Zlib]) -> None:
        """Go on from a mark."""
        self.out, self._fed, self._decoder, self._lead = mark[0], mark[1], mark[2].copy(), b""

    def read(self, most: int) -> bytes:
        """Return some bytes, at most that many; none at the end or at a problem."""
        while self._decoder is not None and self.problem is None:
            try:
                data = self._step(self._decoder, most)
            except FAULTS as error:
                self.problem = f"it cannot be unpacked whole: {error}"
                return b""
            if data:
                self.out += len(data)
                self._mark()
                return data
        return b""

    def _step(self, decoder: Decoder, most: int) -> bytes:
        if decoder.eof:
            self._next(decoder)
            return b""
        feed = b""
        if decoder.needs_input:
            feed = self._lead or self._more()
            self._lead = b""
            if not feed:
                self.problem = "it is cut off"
                return b""
        return decoder.decompress(feed, most)

    def _more(self) -> bytes:
        wanted = min(_CHUNK, self._packed.size - self._fed)
        self._parent.seek(self._packed.start + self._fed)
        data = self._parent.read(wanted) if wanted > 0 else b""
        self._fed += len(data)
        return data

    def _next(self, decoder: Decoder) -> None:
        """Begin a further stream if one follows, perhaps after zeros; end otherwise."""
        self.streams += 1
        self._fed -= len(decoder.unused_data)
        self.used = self._fed
        magic, self._decoder = METHODS[self._packed.method].magic, None
        if magic is None:
            return
        while True:
            block = self._more()
            rest = block.lstrip(b"\0")
            if rest or not block:
                break
        self._fed -= len(rest)
        self._parent.seek(self._packed.start + self._fed)
        if self._parent.read(len(magic)) == magic and self._fed + len(magic) <= self._packed.size:
            self._decoder = METHODS[self._packed.method].make()
        elif not rest:
            self.used = self._fed

    def _mark(self) -> None:
        marks = self._marks
        if marks is not None and isinstance(self._decoder, _Zlib) and self.out - (marks[-1][0] if marks else 0) >= _MARK_EVERY:
            marks.append((self.out, self._fed, self._decoder.copy()))


class _Unpacking(_Raw):
    """Compressed data, unpacked as it is read."""

    def __init__(self, parent: BinaryIO, packed: Packed, size: int, marks: list[tuple[int, int, _Zlib]], owns: bool) -> None:
        super().__init__(parent, size, owns)
        self._packed, self._marks, self._flow = packed, marks, Flow(parent, packed)

    def _some(self, wanted: int) -> bytes:
        if not wanted:
            return b""
        best = max((m for m in self._marks if m[0] <= self._at), key=lambda m: m[0], default=None)
        if self._flow.out > self._at or (best is not None and best[0] > self._flow.out):
            self._flow = Flow(self._parent, self._packed)
            if best is not None:
                self._flow.resume(best)
        while self._flow.out < self._at:
            if not self._flow.read(min(_CHUNK, self._at - self._flow.out)):
                return b""
        return self._flow.read(wanted)


def unpacking(
    parent: BinaryIO, packed: Packed, size: int, owns: bool, marks: list[tuple[int, int, _Zlib]] | None = None
) -> BinaryIO:
    """Return compressed data as a stream of ``size`` bytes, as far as it was seen to reach."""
    return io.BufferedReader(_Unpacking(parent, packed, size, marks or [], owns), _CHUNK)


@dataclass(frozen=True)
class Survey:
    """What unpacking something once showed.

    Attributes:
        size: Bytes that came out.
        crc: Their CRC-32.
        used: Compressed bytes that belong to complete streams.
        streams: How many.
        over: Whether more would have come than the ceiling allows.
        problem: Why not everything came out, or None.
        data: All of it if it is small, else None.
        marks: Where unpacking can go on.
    """

    size: int
    crc: int
    used: int
    streams: int
    over: bool
    problem: str | None
    data: bytes | None
    marks: list[tuple[int, int, _Zlib]]

    def view(self, packed: Packed) -> Callable[[BinaryIO, bool], BinaryIO]:
        """Return how what was unpacked is opened again."""
        data, size, marks = self.data, self.size, self.marks
        if data is not None:
            return lambda parent, owns: memory(data, parent, owns)
        return lambda parent, owns: unpacking(parent, packed, size, owns, marks)


def can_go_back(method: str) -> bool:
    """Return whether unpacking can go on from a mark; if not, going back begins at the beginning."""
    return method in ("deflate", "gzip", "zlib")


def survey(parent: BinaryIO, packed: Packed, ceiling: int, small: int) -> Survey:
    """Unpack something once, under a ceiling, keeping it only if it is small."""
    marks: list[tuple[int, int, _Zlib]] = []
    flow, crc = Flow(parent, packed, marks), 0
    kept: list[bytes] | None = []
    while flow.out <= ceiling and (data := flow.read(_CHUNK)):
        crc = zlib.crc32(data, crc)
        if kept is not None:
            kept.append(data)
        if flow.out > small:
            kept = None
    return Survey(
        min(flow.out, ceiling), crc, flow.used, flow.streams, flow.out > ceiling, flow.problem,
        b"".join(kept)[:ceiling] if kept is not None else None, marks,
    )  # fmt: skip
