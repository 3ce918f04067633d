"""The header of a safetensors file: read under a ceiling, every lie told as a problem, no tensor loaded.

Source:
    safetensors format description (README of the safetensors repository, section "Format") and the checks of its library 0.8.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from governance.context import Limits, RunContext
from governance.errors import SubjectError
from governance.evidence import Severity
from governance.subject import Subject
from scanners._formats.documents import is_lfs_pointer
from scanners._formats.names import shown
from scanners._formats.tensors.spans import MOST, Placed, Problem, elements, header_lie, offset_lie, tiling

#: Bytes of one element; narrower types are in ``ELEMENT_BITS``.
ELEMENT_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "I16": 2, "U16": 2,
    "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
ELEMENT_BITS = {**{name: 8 * width for name, width in ELEMENT_BYTES.items()}, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
#: Honest files hold an empty tensor or two, left by a sharded optimizer.
_MOST_EMPTY = 1_000
#: The library reads no longer header.
_LONGEST = 100_000_000
#: Values a header may have: enough for 300,000 tensors, few enough for the memory of a scan.
_MOST_PARTS = 3_000_000
_MOST_PROBLEMS = 200
#: Bytes of a header that is kept once it is parsed, and how many tensors and headers are kept.
_WORTH_KEEPING, _MOST_KEPT, _MOST_HEADERS = 1 << 14, 400_000, 64
_FIELDS = {"dtype", "shape", "data_offsets"}
_ONLY_INT = frozenset({int})
#: Elements of a tensor that no axis can have made overflow on the way.
_PLAIN, _FEW_AXES = 1 << 48, 8


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of the header.

    Attributes:
        name: As written.
        dtype: As written.
        shape: Elements along each axis.
        start: First byte, counted from the end of the header.
        end: One past the last byte.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """A header as read.

    Attributes:
        tensors: Well-formed entries, in the order of their data.
        metadata: The ``__metadata__`` object.
        header_bytes: Length of the header as the file claims it.
        data_bytes: Bytes after the header.
        problems: Everything wrong; empty for an honest file.
        pointer: Whether the file is a Git LFS pointer.
        gap: Why the entries were not read; empty if they were.
    """

    tensors: tuple[Tensor, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    header_bytes: int = 0
    data_bytes: int = 0
    problems: tuple[Problem, ...] = ()
    pointer: bool = False
    gap: str = ""

    @property
    def data_start(self) -> int:
        """Where the data begins, in bytes of the file."""
        return 8 + self.header_bytes

    @property
    def sound(self) -> bool:
        """Whether every tensor can be read where the header says it lies."""
        return not self.gap and all(p.severity in (Severity.LOW, Severity.INFO) for p in self.problems)

    def tensor(self, name: str) -> Tensor | None:
        """Return the entry of that name, or None."""
        return next((t for t in self.tensors if t.name == name), None)


def read_header(subject: Subject, name: str, ctx: RunContext) -> Header:
    """Read the header of a subject's safetensors file; what cannot be had is a gap and no fault of the file."""
    entry = subject.file(name)
    try:
        with ctx.open(subject, name) as stream:
            return header_in(stream, entry.size if entry else 0, ctx.limits)
    except OSError as error:
        return Header(gap=f"it cannot be read: {os.strerror(error.errno or 0)}")
    except SubjectError as error:
        return Header(gap=f"it cannot be read: {error.message}")


def header_in(stream: BinaryIO, size: int, limits: Limits) -> Header:
    """Read the header of a safetensors file.

    Args:
        stream: The file, seekable.
        size: Its bytes.
        limits: ``header_bytes`` is the ceiling; nothing is allocated by the header's own claim.

    Returns:
        The header with its problems; never raises on content. Headers of the same bytes are parsed once.

    Raises:
        OSError: The bytes cannot be had.
        SubjectError: The same, when they are asked for by range.
    """
    stream.seek(0)
    first = stream.read(8)
    if is_lfs_pointer(first + stream.read(64)):
        return Header(pointer=True, problems=(header_lie("a Git LFS pointer stands in place of the weights"),))
    claimed = int.from_bytes(first, "little")
    if len(first) < 8:
        return _unread(header_lie(f"the file ends after {len(first)} bytes, before its header", 0))
    if claimed > size - 8:
        return _unread(header_lie(f"the header claims {claimed:,} bytes, the file has {size:,}", 0), claimed)
    if claimed > limits.header_bytes:
        return _unread(header_lie(f"the header's {claimed:,} bytes are above the limit", 0), claimed)
    stream.seek(8)
    data = stream.read(claimed)
    if len(data) < claimed:
        return Header(header_bytes=claimed, gap=f"{len(data):,} of the header's {claimed:,} bytes could be read")
    return _kept.parsed(data, size - 8 - claimed)


class _Kept:
    """The long headers parsed last, by their content: several scanners read the same file."""

    def __init__(self) -> None:
        self._headers: OrderedDict[tuple[bytes, int], Header] = OrderedDict()
        self._tensors = 0

    def parsed(self, data: bytes, data_bytes: int) -> Header:
        """Return a header, parsed now or before."""
        if len(data) < _WORTH_KEEPING:
            return _parsed(data, len(data), data_bytes)
        key = hashlib.sha256(data).digest(), data_bytes
        if (known := self._headers.get(key)) is not None:
            self._headers.move_to_end(key)
            return known
        made = _parsed(data, len(data), data_bytes)
        self._headers[key] = made
        self._tensors += len(made.tensors)
        while (self._tensors > _MOST_KEPT and len(self._headers) > 1) or len(self._headers) > _MOST_HEADERS:
            self._tensors -= len(self._headers.popitem(last=False)[1].tensors)
        return made


_kept = _Kept()


def _unread(problem: Problem, claimed: int = 0, *more: Problem) -> Header:
    return Header(header_bytes=claimed, problems=(*more, problem), gap=problem.message)


def _parsed(data: bytes, claimed: int, data_bytes: int) -> Header:
    notes = _Notes()
    if not data.startswith(b"{"):
        notes.lie("the header does not begin with {")
    if claimed > _LONGEST:
        notes.lie(f"the header's {claimed:,} bytes are more than the library reads")
    if sum(map(data.count, (b"[", b"{", b","))) > _MOST_PARTS:
        return _unread(header_lie(f"the header has more than {_MOST_PARTS:,} parts", 8), claimed, *notes.problems)
    value, fault = notes.load(data)
    if not isinstance(value, dict):
        return _unread(header_lie(fault or "the header is no JSON object", 8), claimed, *notes.problems)
    metadata = _metadata(value.get("__metadata__", {}), notes)
    tensors = [t for name, entry in value.items() if name != "__metadata__" and (t := _tensor(name, entry, notes)) is not None]
    tensors.sort(key=lambda t: (t.start, t.end))
    empty = sum(1 for t in tensors if t.start == t.end)
    if empty > _MOST_EMPTY:
        notes.add(Problem("tensor-header", Severity.MEDIUM, f"{empty:,} tensors hold no element, which only costs the reader"))
    for problem in (*tiling([Placed(t.name, t.start, t.end) for t in tensors], data_bytes), *_unaligned(tensors)):
        notes.add(problem)
    return Header(tuple(tensors), metadata, claimed, data_bytes, tuple(notes.problems))


@dataclass
class _Notes:
    """What is wrong with a header, gathered while it is parsed; of very many problems the first ones."""

    problems: list[Problem] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    escapes: bool = False

    def add(self, problem: Problem) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem)

    def lie(self, words: str, tensor: str | None = None) -> None:
        """Note what cannot be true, once."""
        if tensor is not None or words not in self.words:
            self.words.add(words)
            self.add(header_lie(words, 8 if tensor is None else None, tensor))

    def load(self, data: bytes) -> tuple[object, str]:
        """Return the JSON value of a header, or why there is none."""
        self.escapes = b"\\u" in data  # half a character can only be escaped
        try:
            return json.loads(
                data.decode("utf-8"),
                object_pairs_hook=self.pairs,
                parse_constant=self.constant,
                parse_int=self.whole if b"-" in data else None,
                parse_float=self.broken,
            ), ""
        except UnicodeDecodeError:
            return None, "the header is not UTF-8"
        except RecursionError:
            return None, "the header is nested too deeply"
        except ValueError as error:
            return None, f"the header is not JSON: {error}"

    def pairs(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(pairs)
        if len(made) < len(pairs):
            for key in (k for k, count in Counter(k for k, _ in pairs).items() if count > 1):
                words = f"the key {shown(key)[:60]!a} occurs more than once"
                self.add(Problem("tensor-duplicate-key", Severity.HIGH, words, None, 8))
        if self.escapes and any(_is_broken(k) or (isinstance(v, str) and _is_broken(v)) for k, v in pairs):
            self.lie("a string of the header holds half a character")
        return made

    def constant(self, name: str) -> None:
        self.lie(f"{name} is no JSON number")

    def whole(self, digits: str) -> int | None:
        if digits.startswith("-"):  # also -0, which the library takes for a fraction
            self.lie(f"{digits[:24]} is no number of bytes or elements")
            return None
        return int(digits)

    def broken(self, digits: str) -> None:
        self.lie(f"{digits[:24]} is no whole number")


def _is_broken(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)


def _metadata(value: object, notes: _Notes) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        notes.lie("__metadata__ is not an object of strings")
        return ()
    return tuple(sorted((str(k), str(v)) for k, v in value.items()))


def _tensor(name: str, entry: object, notes: _Notes) -> Tensor | None:
    if not isinstance(entry, dict):
        notes.lie("an entry is no object", name)
        return None
    dtype, shape, span = entry.get("dtype"), _counts(entry.get("shape")), _counts(entry.get("data_offsets"))
    if not isinstance(dtype, str) or shape is None or span is None or len(span) != 2:
        notes.lie("an entry lacks a dtype, a shape or two offsets of whole numbers ≥ 0", name)
        return None
    tensor = Tensor(name, dtype, shape, span[0], span[1])
    if not entry.keys() <= _FIELDS:
        notes.lie("an entry has keys the format does not know", name)
    bits, count = ELEMENT_BITS.get(dtype), math.prod(shape) if len(shape) <= _FEW_AXES else 0
    if bits is None or not 0 < count * bits == 8 * (span[1] - span[0]) or span[1] > MOST or count > _PLAIN:
        for problem in _size_lies(tensor):
            notes.add(problem)
    return tensor


def _size_lies(tensor: Tensor) -> Iterator[Problem]:
    bits, count, span = ELEMENT_BITS.get(tensor.dtype), elements(tensor.shape), tensor.end - tensor.start
    if tensor.end > MOST:
        yield offset_lie(f"its end {tensor.end:,} is beyond what 64 bits count", tensor.name)
    elif span < 0:
        yield offset_lie("ends before it begins", tensor.name, tensor.start)
    if bits is None:
        yield header_lie(f"the dtype {shown(tensor.dtype)[:20]!a} is not known", None, tensor.name)
    elif count is None or count * bits > MOST:
        yield offset_lie(f"its shape {str(list(tensor.shape))[:80]} overflows 64 bits", tensor.name)
    elif count * bits % 8:
        yield offset_lie(f"{count:,} elements of {tensor.dtype} are no whole number of bytes", tensor.name)
    elif span >= 0 and span != count * bits // 8:
        yield offset_lie(f"{span:,} bytes for a shape that needs {count * bits // 8:,}", tensor.name)


def _unaligned(tensors: Iterable[Tensor]) -> Iterator[Problem]:
    """Yield one problem for tensors that begin at no multiple of their element; a header of any length is common, and no sign."""
    odd = [t for t in tensors if t.end > t.start and t.start % _width(t.dtype)]
    if odd:
        words = f"{len(odd):,} tensors begin at no multiple of their element's bytes, which is legal but odd"
        yield Problem("tensor-offsets", Severity.LOW, words, odd[0].name, odd[0].start)


def _width(dtype: str) -> int:
    return min(8, ELEMENT_BYTES.get(dtype, 1))


def _counts(value: object) -> tuple[int, ...] | None:
    return tuple(value) if isinstance(value, list) and _ONLY_INT.issuperset(map(type, value)) else None
