"""What two readers of tensor files share: how a lie is told, and whether the spans of tensors tile the bytes they lie in.

Read by ``safetensors`` and ``gguf``; ``scanners.tensor_layout`` turns problems into findings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from governance.evidence import Severity

#: Sizes are 64 bits wide in every loader, signed in most.
MOST = 2**63 - 1


@dataclass(frozen=True)
class Problem:
    """Something a tensor file says that cannot be true; ``rule`` is a rule of the tensor-layout scanner."""

    rule: str
    severity: Severity
    message: str
    tensor: str | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A tensor's name and where its bytes lie in the data."""

    name: str
    start: int
    end: int


def header_lie(message: str, offset: int | None = None, tensor: str | None = None) -> Problem:
    """Return a problem of the header."""
    return Problem("tensor-header", Severity.HIGH, message, tensor, offset)


def offset_lie(message: str, tensor: str | None = None, offset: int | None = None) -> Problem:
    """Return a problem of where the bytes lie."""
    return Problem("tensor-offsets", Severity.HIGH, message, tensor, offset)


def elements(shape: Iterable[int]) -> int | None:
    """Return how many elements a shape has, or None if no loader can count them: a product above 2^63 wraps round."""
    count = 1
    for axis in shape:
        count *= axis
        if count > MOST or axis > MOST:
            return None
    return count


def tiling(spans: Iterable[Placed], data_bytes: int, alignment: int = 1) -> Iterator[Problem]:
    """Yield where spans do not tile their data: aliases, overlaps, holes, ends beyond the file, bytes nobody owns.

    Args:
        spans: In any order.
        data_bytes: Bytes there are.
        alignment: Padding below this is no hole.
    """
    ordered = sorted(spans, key=lambda t: (t.start, t.end))
    reached, last = 0, None
    for t in ordered:
        if t.end <= t.start:
            if alignment == 1 and t.end == t.start != reached:
                yield offset_lie("is empty and lies inside or beyond other tensors", t.name, t.start)
            continue
        if last is not None and (t.start, t.end) == (last.start, last.end):
            yield offset_lie(f"has the same bytes as {last.name[:80]!a}", t.name, t.start)
        elif t.start < reached:
            yield offset_lie(f"overlaps the tensor before it by {min(reached, t.end) - t.start:,} bytes", t.name, t.start)
        elif t.start - reached >= alignment:
            yield offset_lie(f"{t.start - reached:,} bytes before it belong to no tensor", t.name, reached)
        if t.end > reached:
            reached, last = t.end, t
    if reached > data_bytes:
        yield offset_lie(f"the file is truncated: tensors need {reached:,} bytes, it holds {data_bytes:,}", None, data_bytes)
    elif data_bytes - reached >= alignment:
        yield offset_lie(f"{data_bytes - reached:,} bytes at the end belong to no tensor", None, reached)
