"""The header of a safetensors file: read under a ceiling, every lie told as a problem, no tensor loaded.

Source:
    safetensors format description (README of the safetensors repository, section "Format").
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from typing import BinaryIO

from governance.context import Limits, RunContext
from governance.errors import SubjectError
from governance.evidence import Severity
from governance.subject import Subject
from scanners._formats.documents import Document, is_lfs_pointer, parse_json

#: Bytes of one element; F4 types are half a byte and handled apart.
ELEMENT_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
#: Honest files hold an empty tensor or two, left by a sharded optimizer.
_MOST_EMPTY = 1_000


@dataclass(frozen=True)
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
class Problem:
    """Something the header says that cannot be true; ``rule`` is a rule of the tensor-layout scanner."""

    rule: str
    severity: Severity
    message: str
    tensor: str | None = None
    offset: int | None = None


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
    """

    tensors: tuple[Tensor, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    header_bytes: int = 0
    data_bytes: int = 0
    problems: tuple[Problem, ...] = ()
    pointer: bool = False

    def tensor(self, name: str) -> Tensor | None:
        """Return the entry of that name, or None."""
        return next((t for t in self.tensors if t.name == name), None)


def read_header(subject: Subject, name: str, ctx: RunContext) -> Header:
    """Read the header of a subject's safetensors file; never raises on content."""
    entry = subject.file(name)
    try:
        with ctx.open(subject, name) as stream:
            return header_in(stream, entry.size if entry else 0, ctx.limits)
    except OSError as error:
        return Header(problems=(_lie(f"cannot be read: {os.strerror(error.errno or 0)}"),))
    except SubjectError as error:
        return Header(problems=(_lie(f"cannot be read: {error.message}"),))


def header_in(stream: BinaryIO, size: int, limits: Limits) -> Header:
    """Read the header of a safetensors file.

    Args:
        stream: The file, seekable.
        size: Its bytes.
        limits: ``header_bytes`` is the ceiling; nothing is allocated by the header's own claim.

    Returns:
        The header with its problems; never raises on content.
    """
    stream.seek(0)
    first = stream.read(8)
    if is_lfs_pointer(first + stream.read(64)):
        return Header(pointer=True, problems=(_lie("a Git LFS pointer stands in place of the weights"),))
    claimed = int.from_bytes(first, "little")
    if len(first) < 8:
        return Header(problems=(_lie(f"the file ends after {len(first)} bytes, before its header", 0),))
    if claimed > size - 8:
        return Header(header_bytes=claimed, problems=(_lie(f"the header claims {claimed:,} bytes, the file has {size:,}", 0),))
    if claimed > limits.header_bytes:
        return Header(header_bytes=claimed, problems=(_lie(f"the header's {claimed:,} bytes are above the limit", 0),))
    stream.seek(8)
    return _parsed(stream.read(claimed), claimed, size - 8 - claimed)


def _parsed(text: bytes, claimed: int, data_bytes: int) -> Header:
    problems: list[Problem] = []
    if not text.startswith(b"{"):
        problems.append(_lie("the header does not begin with {", 8))
    document = parse_json(text)
    problems += [_document_problem(p) for p in document.problems]
    if not isinstance(document.value, dict):
        return Header(header_bytes=claimed, data_bytes=data_bytes, problems=(*problems, _lie("the header is no JSON object", 8)))
    tensors, metadata = [], _metadata(document, problems)
    for name, entry in document.mapping.items():
        if name != "__metadata__":
            tensor = _tensor(name, entry, problems)
            if tensor is not None:
                tensors.append(tensor)
    tensors.sort(key=lambda t: (t.start, t.end))
    empty = sum(1 for t in tensors if t.start == t.end)
    if empty > _MOST_EMPTY:
        problems.append(
            Problem("tensor-header", Severity.MEDIUM, f"{empty:,} tensors hold no element, which only costs the reader")
        )
    problems += _layout(tensors, data_bytes)
    return Header(tuple(tensors), metadata, claimed, data_bytes, tuple(problems))


def _metadata(document: Document, problems: list[Problem]) -> tuple[tuple[str, str], ...]:
    value = document.mapping.get("__metadata__", {})
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        problems.append(_lie("__metadata__ is not an object of strings"))
        return ()
    return tuple(sorted((str(k), str(v)) for k, v in value.items()))


def _tensor(name: str, entry: object, problems: list[Problem]) -> Tensor | None:
    if not isinstance(entry, dict):
        problems.append(_lie("an entry is no object", tensor=name))
        return None
    dtype, shape, span = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    shape, span = _counts(shape), _counts(span)
    if not isinstance(dtype, str) or shape is None or span is None or len(span) != 2:
        problems.append(_lie("an entry lacks a dtype, a shape or two offsets of whole numbers ≥ 0", tensor=name))
        return None
    tensor = Tensor(name, dtype, shape, span[0], span[1])
    if set(entry) - {"dtype", "shape", "data_offsets"}:
        problems.append(_lie("an entry has keys the format does not know", tensor=name))
    elements = prod(tensor.shape)
    width = ELEMENT_BYTES.get(dtype)
    expected = elements // 2 if dtype == "F4" else None if width is None else elements * width
    if expected is None:
        problems.append(_lie(f"the dtype {dtype[:20]!r} is not known", tensor=name))
    elif tensor.end - tensor.start != expected:
        problems.append(
            Problem(
                "tensor-offsets", Severity.HIGH, f"{tensor.end - tensor.start:,} bytes for a shape that needs {expected:,}", name
            )
        )
    return tensor


def _counts(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list):
        return None
    found = tuple(v for v in value if isinstance(v, int) and not isinstance(v, bool) and v >= 0)
    return found if len(found) == len(value) else None


def _layout(tensors: list[Tensor], data_bytes: int) -> list[Problem]:
    """Return where the spans do not tile the data: overlaps, holes, ends beyond the file, bytes nobody owns."""
    found, reached = [], 0
    for t in tensors:
        if t.end < t.start:
            found.append(Problem("tensor-offsets", Severity.HIGH, "ends before it begins", t.name, t.start))
        elif t.start < reached and t.end > t.start:
            found.append(
                Problem(
                    "tensor-offsets",
                    Severity.HIGH,
                    f"overlaps the tensor before it by {reached - t.start:,} bytes",
                    t.name,
                    t.start,
                )
            )
        elif t.start > reached:
            found.append(
                Problem(
                    "tensor-offsets", Severity.HIGH, f"{t.start - reached:,} bytes before it belong to no tensor", t.name, reached
                )
            )
        reached = max(reached, t.end)
    if reached > data_bytes:
        found.append(
            Problem(
                "tensor-offsets",
                Severity.HIGH,
                f"the file is truncated: tensors need {reached:,} bytes, it holds {data_bytes:,}",
                None,
                data_bytes,
            )
        )
    elif reached < data_bytes:
        found.append(
            Problem(
                "tensor-offsets", Severity.HIGH, f"{data_bytes - reached:,} bytes at the end belong to no tensor", None, reached
            )
        )
    return found


def _document_problem(text: str) -> Problem:
    rule = "tensor-duplicate-key" if "more than once" in text else "tensor-header"
    return Problem(rule, Severity.HIGH, f"the header {text}" if not text.startswith("the key") else text, None, 8)


def _lie(message: str, offset: int | None = None, tensor: str | None = None) -> Problem:
    return Problem("tensor-header", Severity.HIGH, message, tensor, offset)
