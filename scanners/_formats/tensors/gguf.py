"""GGUF files, versions 2 and 3, in both byte orders: metadata and tensor table, every lie told as a problem, no tensor loaded.

Counts and lengths are compared with the bytes that are left before anything is allocated or walked. Arrays stay as the bytes
they are and are decoded when asked for, so that a vocabulary of 256,000 tokens costs one walk over its lengths.

Source:
    GGUF specification (docs/gguf.md of the ggml repository).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from governance.context import Limits
from governance.evidence import Severity
from scanners._formats.names import shown
from scanners._formats.tensors.ggml_types import tensor_types
from scanners._formats.tensors.gguf_laws import unlikely
from scanners._formats.tensors.spans import MOST, Placed, Problem, elements, header_lie, offset_lie, tiling

#: struct code by number of a value's type; 8 is a string, 9 an array.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_NAMES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "bool", "string", "array", "uint64", "int64", "float64")
_BOOL, _STRING, _ARRAY, _UINT32 = 7, 8, 9, 4
_PADDING, _LONGEST_KEY, _LONGEST_NAME, _DEEPEST, _MOST_AXES, _FIRST_READ, _MOST_PROBLEMS = 64, 65_535, 1_024, 3, 4, 1 << 16, 200
#: Rows, entries and arrays inside arrays that are walked; large models have a few thousand.
_MOST_ROWS = 300_000
#: GGML_MAX_NAME.
_GGML_NAME = 64
#: A number above this is no type of any ggml to come.
_NO_TYPE = 1_000


@dataclass(frozen=True)
class GgufArray:
    """An array of the metadata, kept as its bytes.

    Attributes:
        element: Type of one element: ``string``, ``uint32``, ``array`` …
        count: How many.
    """

    element: str
    count: int
    _source: bytearray = field(repr=False, compare=False)
    _at: int
    _code: int
    _order: str

    def values(self) -> Iterator[GgufValue]:
        """Yield the elements, decoded one by one."""
        at = self._at
        if self._code in _SCALARS:
            step = struct.Struct(self._order + _SCALARS[self._code])
            for place in range(at, at + self.count * step.size, step.size):
                (value,) = step.unpack_from(self._source, place)
                yield bool(value) if self._code == _BOOL else value
        elif self._code == _STRING:
            length = struct.Struct(self._order + "Q")
            for _ in range(self.count):
                (size,) = length.unpack_from(self._source, at)
                yield _text(self._source[at + 8 : at + 8 + size])
                at += 8 + size
        else:
            reader = _Walk(self._source, self._order)
            reader.at = at
            for _ in range(self.count):
                yield reader.array(self._at, 0)

    def strings(self) -> Iterator[str]:
        """Yield the elements that are strings."""
        return (v for v in self.values() if isinstance(v, str))


GgufValue = int | float | bool | str | GgufArray


@dataclass(frozen=True)
class GgufTensor:
    """One row of the tensor table.

    Attributes:
        name: As written.
        dtype: Name of its ggml type.
        shape: Elements along each axis, innermost first, as written.
        start: First byte, counted from the start of the data.
        end: One past the last byte.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Gguf:
    """A file as read.

    Attributes:
        version: 2 or 3; another number was not read further.
        big_endian: Whether numbers are stored with the high byte first.
        metadata: Values by key; of a key that occurs twice the first.
        tensors: Rows whose size is known, in the order of the table.
        data_start: Where the data begins, in bytes of the file.
        alignment: What offsets are multiples of.
        problems: Everything wrong; empty for an honest file.
        gap: Why something was not read; empty if everything was.
    """

    version: int = 0
    big_endian: bool = False
    metadata: Mapping[str, GgufValue] = field(default_factory=dict)
    tensors: tuple[GgufTensor, ...] = ()
    data_start: int = 0
    alignment: int = 32
    problems: tuple[Problem, ...] = ()
    gap: str = ""

    def text(self, key: str) -> str | None:
        """Return a string of the metadata, or None."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None


def read_gguf(stream: BinaryIO, size: int, limits: Limits) -> Gguf:
    """Read the metadata and the tensor table of a GGUF file.

    Args:
        stream: The file, seekable.
        size: Its bytes.
        limits: ``header_bytes`` is the ceiling for metadata and table together.

    Returns:
        What was read with its problems; never raises on content.
    """
    stream.seek(0)
    head = stream.read(24)
    if head[:4] != b"GGUF" or len(head) < 8:
        return Gguf(problems=(header_lie("the file does not begin as GGUF does, or ends before it has begun", 0),))
    big = head[4:6] == b"\x00\x00"
    order = ">" if big else "<"
    (version,) = struct.unpack_from(order + "I", head, 4)
    if version not in (2, 3):
        return Gguf(version, big, gap=f"GGUF version {version} is not read here; 2 and 3 are")
    if len(head) < 24:
        return Gguf(version, big, problems=(header_lie(f"the file ends after {len(head)} bytes, inside its header", 0),))
    tensors, keys = struct.unpack_from(order + "QQ", head, 8)
    walk = _Walk(bytearray(head), order, stream, min(size, limits.header_bytes), size)
    walk.at = 24
    try:
        walk.counts(tensors, keys)
        walk.pairs(keys)
        walk.table(tensors)
        walk.place()
    except _EndError as end:
        walk.note(header_lie(end.words, end.offset)) if not end.gap else None
        gap = end.words if end.gap else f"the walk ended at byte {end.offset:,}: {end.words}"
        return Gguf(version, big, walk.metadata, tuple(walk.tensors), 0, walk.alignment, tuple(walk.problems), gap)
    return Gguf(version, big, walk.metadata, tuple(walk.tensors), walk.data_start, walk.alignment, tuple(walk.problems), walk.gap)


class _EndError(Exception):
    """The walk cannot go on; ``gap`` if that is no fault of the file."""

    def __init__(self, words: str, offset: int, *, gap: bool = False) -> None:
        super().__init__(words)
        self.words, self.offset, self.gap = words, offset, gap


class _Walk:
    """One forward walk; the bytes read so far stay, so that arrays can be decoded later."""

    def __init__(self, data: bytearray, order: str, stream: BinaryIO | None = None, most: int = 0, size: int = 0) -> None:
        self.data, self.order, self.at = data, order, 0
        self._stream, self._most, self._size, self._step = stream, most, size, _FIRST_READ
        self.metadata: dict[str, GgufValue] = {}
        self.tensors: list[GgufTensor] = []
        self.problems: list[Problem] = []
        self.alignment, self.data_start, self.gap, self.arrays = 32, 0, "", 0
        self._length = struct.Struct(order + "Q")
        self._numbers = {code: struct.Struct(order + letter) for code, letter in _SCALARS.items()}

    def note(self, problem: Problem) -> None:
        """Keep a problem, unless there are very many."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem)

    def reach(self, end: int) -> None:
        """Have the bytes up to ``end``.

        Raises:
            _EndError: They are not there, or more than may be read.
        """
        if end <= len(self.data):
            return
        if end > self._size or self._stream is None:
            raise _EndError(f"{end - self.at:,} bytes are claimed, {self._size - self.at:,} are left", self.at)
        if end > self._most:
            raise _EndError(f"metadata and table need more than the {self._most:,} bytes that are read", self.at, gap=True)
        while len(self.data) < end:
            want = min(max(self._step, end - len(self.data)), self._most - len(self.data))
            self._step = min(self._step * 2, 1 << 21)
            got = self._stream.read(want)
            if not got:
                raise _EndError("the file is shorter than its size says", len(self.data), gap=True)
            self.data += got

    def left(self, count: int, least: int, what: str) -> None:
        """Check that so many things of at least so many bytes can still follow."""
        if count * least > self._size - self.at:
            raise _EndError(f"{count:,} {what} are claimed, {self._size - self.at:,} bytes are left", self.at)

    def number(self, code: int) -> int:
        """Return the next whole number."""
        form = self._numbers[code]
        self.reach(self.at + form.size)
        (value,) = form.unpack_from(self.data, self.at)
        self.at += form.size
        return int(value)

    def raw(self, longest: int, what: str) -> bytes:
        """Return the next string's bytes."""
        began, length = self.at, self.number(10)
        if length > longest:
            raise _EndError(f"{what} of {length:,} bytes", began)
        self.reach(self.at + length)
        self.at += length
        return bytes(self.data[self.at - length : self.at])

    def counts(self, tensors: int, keys: int) -> None:
        """Check the two counts of the header: an entry takes 13 bytes at least, a row 24."""
        self.left(keys, 13, "metadata entries")
        self.left(tensors, 24, "tensors")
        if max(tensors, keys) > _MOST_ROWS:
            raise _EndError(f"more than {_MOST_ROWS:,} tensors or metadata entries are not read", self.at, gap=True)

    def pairs(self, count: int) -> None:
        """Read the metadata."""
        for _ in range(count):
            began = self.at
            raw = self.raw(_LONGEST_KEY, "a key")
            key = _text(raw)
            if not _is_utf8(raw):
                self.note(header_lie(f"the key {shown(key)[:60]!a} is not UTF-8", began))
            value = self.value(self.number(_UINT32))
            if key in self.metadata:
                words = f"the key {shown(key)[:60]!a} occurs more than once"
                self.note(Problem("tensor-duplicate-key", Severity.HIGH, words, None, began))
                continue
            self.metadata[key] = value
            if key == "general.alignment":
                self._align(value, began)

    def value(self, code: int) -> GgufValue:
        """Return the next value."""
        if code in _SCALARS:
            form = self._numbers[code]
            self.reach(self.at + form.size)
            (value,) = form.unpack_from(self.data, self.at)
            if code == _BOOL and value > 1:
                self.note(header_lie(f"a boolean is {value}", self.at))
            self.at += form.size
            return bool(value) if code == _BOOL else value
        if code == _STRING:
            began = self.at
            raw = self.raw(MOST, "a string")
            if not _is_utf8(raw):
                self.note(Problem("tensor-header", Severity.LOW, "a string is not UTF-8", None, began))
            return _text(raw)
        if code == _ARRAY:
            return self.array(self.at, 0)
        raise _EndError(f"a value of the unknown type {code}", self.at, gap=True)

    def array(self, began: int, depth: int) -> GgufArray:
        """Walk the next array; its elements are looked at only as far as their lengths."""
        if depth >= _DEEPEST:
            raise _EndError(f"arrays nested deeper than {_DEEPEST}", began)
        code, count = self.number(_UINT32), self.number(10)
        start = self.at
        if code in _SCALARS:
            self._jump(count * self._numbers[code].size, f"{count:,} elements")
            if code == _BOOL and self.data[start : self.at].translate(None, b"\0\1"):
                self.note(header_lie("an array of booleans holds another number than 0 and 1", start))
        elif code == _STRING:
            if self._stream is not None:
                self.left(count, 8, "strings")
            self._strings(count)
        elif code == _ARRAY:
            if self._stream is not None:
                self.left(count, 12, "arrays")
            self.arrays += count
            if self.arrays > _MOST_ROWS:
                raise _EndError(f"more than {_MOST_ROWS:,} arrays inside arrays are not read", began, gap=True)
            for _ in range(count):
                self.array(began, depth + 1)
        else:
            raise _EndError(f"an array of the unknown type {code}", start, gap=True)
        return GgufArray(_NAMES[code], count, self.data, start, code, self.order)

    def _jump(self, length: int, what: str) -> None:
        if self._stream is not None and length > self._size - self.at:
            raise _EndError(f"{what} are claimed, {self._size - self.at:,} bytes are left", self.at)
        self.reach(self.at + length)
        self.at += length

    def _strings(self, count: int) -> None:
        at, here, unpack = self.at, len(self.data), self._length.unpack_from
        for _ in range(count):
            if at + 8 > here:
                self.at = at
                self.reach(at + 8)
                here = len(self.data)
            at += 8 + unpack(self.data, at)[0]
            if at > here:
                self.at = min(at, here)
                self.reach(at)
                here = len(self.data)
        self.at = at

    def _align(self, value: GgufValue, at: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0 or value & (value - 1):
            self.note(header_lie("general.alignment is no power of two", at))
        else:
            self.alignment = value

    def table(self, count: int) -> None:
        """Read the tensor table."""
        seen = set[str]()
        for _ in range(count):
            began = self.at
            raw = self.raw(_LONGEST_NAME, "a tensor's name")
            name = _text(raw)
            if not _is_utf8(raw):
                self.note(header_lie("a tensor's name is not UTF-8", began, name))
            if name in seen:
                self.note(Problem("tensor-duplicate-key", Severity.HIGH, "two tensors have this name", name, began))
            if len(raw) >= _GGML_NAME:
                words = f"its name has {len(raw):,} bytes, ggml holds {_GGML_NAME - 1}"
                self.note(Problem("tensor-header", Severity.MEDIUM, words, name, began))
            seen.add(name)
            axes = self.number(_UINT32)
            if axes > _MOST_AXES:
                raise _EndError(f"a tensor of {axes:,} axes; ggml knows {_MOST_AXES}", began)
            shape = tuple(self.number(10) for _ in range(axes))
            self._row(name, shape, self.number(_UINT32), self.number(10), began)

    def _row(self, name: str, shape: tuple[int, ...], code: int, offset: int, began: int) -> None:
        if (known := tensor_types().get(code)) is None:
            if code > _NO_TYPE:
                self.note(header_lie(f"the type {code} is none", began, name))
            self.gap = f"a tensor has the unknown type {code}; sizes after it cannot be checked"
            return
        dtype, block, width = known
        count = elements(shape)
        if count is None or (size := count // block * width) > MOST or offset > MOST - size:
            self.note(offset_lie(f"shape {list(shape)} and offset {offset:,} overflow 64 bits", name, began))
            return
        if (shape[0] if shape else 1) % block:
            self.note(offset_lie(f"rows of {shape[0] if shape else 1:,} elements are no whole blocks of {dtype}", name, began))
        if offset % self.alignment:
            self.note(offset_lie(f"offset {offset:,} is no multiple of the alignment {self.alignment:,}", name, began))
        self.tensors.append(GgufTensor(name, dtype, shape, offset, offset + size))

    def place(self) -> None:
        """Compare the table's arithmetic with the file."""
        for problem in unlikely(self.metadata):
            self.note(problem)
        self.data_start = -(-self.at // self.alignment) * self.alignment
        if not self.gap and (self.tensors or self.data_start < self._size):
            spans = [Placed(t.name, t.start, t.end) for t in self.tensors]
            for problem in tiling(spans, max(0, self._size - self.data_start), self.alignment):
                self.note(problem)
            self._padding(spans)

    def _padding(self, spans: list[Placed]) -> None:
        """Look into padding that is long enough to hide something; writers fill it with zeros."""
        begin, step = self.data_start, self.alignment
        places = [(self.at, begin), *((begin + s.end, begin + -(-s.end // step) * step) for s in spans)]
        for start, end in places:
            if end - start >= _PADDING and self._stream is not None and end <= self._size:
                self._stream.seek(start)
                if any(self._stream.read(min(end - start, 1 << 20))):
                    self.note(offset_lie(f"{end - start:,} bytes of padding are not zero", None, start))


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(raw: bytes | bytearray) -> str:
    return raw.decode("utf-8", "backslashreplace")
