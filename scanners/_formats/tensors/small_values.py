"""The numbers of many small tensors at once: neighbours of one type are read together and measured in one pass.

A file of hundreds of thousands of tensors with a few numbers each would otherwise cost a call of the array library for every one.
Read by ``scanners.weight_values``; says of each tensor what ``values.measure`` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import BinaryIO, Protocol, TypeVar

from scanners._formats.tensors.values import FEWEST, FLOATS, WINDOW, Values, measure


class Placed(Protocol):
    """Where the numbers of a tensor lie."""

    @property
    def start(self) -> int:
        """Return its first byte."""

    @property
    def length(self) -> int:
        """Return its bytes."""

    @property
    def dtype(self) -> str:
        """Return its type."""

    @property
    def big_endian(self) -> bool:
        """Return whether the high byte comes first."""


_Tensor = TypeVar("_Tensor", bound=Placed)
#: Fewer are measured one by one.
_WORTH = 4
#: Shorter tensors are not compared with each other, and need no digest.
_COMPARED = 64


def measured(stream: BinaryIO, tensors: Sequence[_Tensor]) -> Iterator[tuple[_Tensor, Values]]:
    """Yield each tensor with what its numbers are, in order.

    Args:
        stream: The file, seekable.
        tensors: Those to read, none empty, all of readable types.
    """
    at = 0
    while at < len(tensors):
        until = _run(tensors, at)
        if until - at < _WORTH:
            for tensor in tensors[at : max(until, at + 1)]:
                yield (
                    tensor,
                    measure(stream, tensor.start, tensor.length, tensor.dtype, big_endian=tensor.big_endian),
                )
            at = max(until, at + 1)
        else:
            yield from _together(stream, tensors[at:until])
            at = until


def _run(tensors: Sequence[_Tensor], at: int) -> int:
    """Return the end of the run of small tensors of one type, behind each other in one window, that begins here."""
    first = tensors[at]
    if first.dtype not in FLOATS:
        return at
    width = FLOATS[first.dtype][0]
    most, end, reached = FEWEST * width, first.start + WINDOW, first.start
    while at < len(tensors):
        one = tensors[at]
        if (
            one.dtype != first.dtype
            or one.big_endian != first.big_endian
            or not reached <= one.start <= end - one.length
            or one.length >= most
            or one.length % width
            or (one.start - first.start) % width
        ):
            break
        reached = one.start + one.length
        at += 1
    return at


def _together(stream: BinaryIO, run: Sequence[_Tensor]) -> Iterator[tuple[_Tensor, Values]]:
    import numpy as np

    first, last = run[0], run[-1]
    width, mask, least, unit = FLOATS[first.dtype]
    need = last.start + last.length - first.start
    stream.seek(first.start)
    window = stream.read(need)
    order = ">" if first.big_endian else "<"
    bits = np.frombuffer(window.ljust(need + width, b"\0"), f"{order}u{width}")
    bits = bits.astype(bits.dtype.newbyteorder("="))
    size = bits & bits.dtype.type(mask)
    begins = np.array([(t.start - first.start) // width for t in run])
    places = np.stack([begins, begins + np.array([t.length // width for t in run])], axis=1).ravel()
    most = np.maximum.reduceat(size, places)[::2]
    zero, bad = (most == 0).tolist(), (most >= least).tolist()
    one = [False] * len(run)
    if unit is not None:
        highest, lowest = np.maximum.reduceat(bits, places)[::2], np.minimum.reduceat(bits, places)[::2]
        one = ((highest == unit) & (lowest == unit)).tolist()
    for tensor, begin, is_zero, is_bad, is_one in zip(run, begins.tolist(), zero, bad, one, strict=True):
        count, place = 0, None
        if is_bad:
            broken = size[begin : begin + tensor.length // width] >= least
            count, place = int(np.count_nonzero(broken)), int(np.argmax(broken))
        key = b""
        if tensor.length >= _COMPARED:
            at = tensor.start - first.start
            key = blake2b(window[at : at + tensor.length], digest_size=16).digest()
        yield tensor, Values(count, place, is_zero, is_one, key) if count or is_zero or is_one or key else _PLAIN


_PLAIN = Values()
