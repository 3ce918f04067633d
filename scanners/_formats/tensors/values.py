"""The numbers of one tensor, streamed once in windows: finite, zero, one, and whether their lowest bits are noise.

Made from bytes at a place; read by ``scanners.weight_values``. Memory does not grow with the tensor.

Source:
    IEEE 754; bfloat16; OCP 8-bit floating point (OFP8) and E8M0; block layouts of ggml (``tables/ggml_types.yaml``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO

from scanners._formats.tensors.ggml_types import scales

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bits = NDArray[np.unsignedinteger]

WINDOW = 2 << 20
#: Bytes of a number, its bits without the sign, the smallest such bits that are not finite, and the bits of one. 8-bit floats
#: have no infinity but E5M2; the FNUZ forms have one NaN, which is a minus sign alone, and are looked at with it.
FLOATS = {
    "F16": (2, 0x7FFF, 0x7C00, 0x3C00),
    "BF16": (2, 0x7FFF, 0x7F80, 0x3F80),
    "F32": (4, 0x7FFF_FFFF, 0x7F80_0000, 0x3F80_0000),
    "C64": (4, 0x7FFF_FFFF, 0x7F80_0000, None),
    "F64": (8, 0x7FFF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000, 0x3FF0_0000_0000_0000),
    "F8_E5M2": (1, 0x7F, 0x7C, 0x3C),
    "F8_E4M3": (1, 0x7F, 0x7F, 0x38),
    "F8_E8M0": (1, 0xFF, 0xFF, 0x7F),
}
_FNUZ = ("F8_E4M3FNUZ", "F8_E5M2FNUZ")
#: Without a value that is not finite.
_PLAIN = ("BOOL", "U8", "I8", "I16", "U16", "I32", "U32", "I64", "U64", "F4", "F6_E2M3", "F6_E3M2")
#: Exponent bits and how many low bits of the fraction noise must fill.
_LOW = {"F32": (0x7F80_0000, 8), "F16": (0x7C00, 4), "BF16": (0x7F80, 2)}
#: Numbers looked at for their low bits, the fewest that say something, and the fewest bytes packed from them.
_SAMPLE, FEWEST, _FEWEST_PACKED = 1 << 18, 64, 1 << 10
_DISTINCT_OF, _ODD, _DEVIATIONS, _ORDER = 1 << 12, 0.3, 6.0, 0.5


@dataclass(frozen=True)
class LowBits:
    """The lowest bits of a tensor's fractions.

    Honest numbers fill them as chance does, or lie on a coarser grid: stored with fewer bits before, or drawn by a generator
    that makes fewer. A grid pushes bits towards zero, the lowest most. So what no grid does counts: ones in the lowest bit,
    a bit far more biased than the one below it, and an order among neighbours.

    Attributes:
        count: Numbers looked at.
        bits: How many low bits of each.
        odd: Bias that no grid explains, at most 0.5.
        order: Bits of entropy that eight neighbouring lowest bits lack, at most 8.
    """

    count: int
    bits: int
    odd: float
    order: float

    @property
    def suspect(self) -> bool:
        """Whether a bias or an order is large, and too large for chance."""
        return (self.odd > _ODD and 2 * self.odd * math.sqrt(self.count) > _DEVIATIONS) or self.order > _ORDER


@dataclass(frozen=True)
class Values:
    """What the numbers of a tensor are.

    Attributes:
        bad: How many are NaN or infinite.
        first_bad: Index of the first such number; of a packed tensor, of its block.
        zero: All are zero.
        one: All are one.
        key: Equal for tensors that begin alike; a digest of the first bytes.
        low_bits: How the lowest bits of the fraction are spread; None if too few numbers say something.
    """

    bad: int = 0
    first_bad: int | None = None
    zero: bool = False
    one: bool = False
    key: bytes = b""
    low_bits: LowBits | None = None


def readable(dtype: str) -> bool:
    """Return whether the values of a type are looked at."""
    return dtype in FLOATS or dtype in _FNUZ or dtype in _PLAIN or dtype in scales()


def measure(stream: BinaryIO, start: int, length: int, dtype: str, *, big_endian: bool = False) -> Values:
    """Return what the numbers of a tensor are.

    Args:
        stream: The file, seekable.
        start: First byte.
        length: Bytes.
        dtype: A type that is ``readable``.
        big_endian: Whether the high byte comes first.
    """
    stream.seek(start)
    block = scales().get(dtype)
    step = WINDOW // block[0] * block[0] if block else WINDOW
    bad, first_bad, place, key = 0, None, 0, b""
    zero, one = length > 0, length > 0 and dtype in FLOATS
    low: LowBits | None = None
    while place < length and (window := stream.read(min(step, length - place))):
        if not place:
            key = blake2b(window[: 1 << 16], digest_size=16).digest()
            low = _low_bits(window, dtype, big_endian=big_endian)
        found, at, all_zero, all_one, width = _window(window, dtype, big_endian=big_endian, one=one)
        if found and first_bad is None:
            first_bad = place // width + at
        bad, zero, one = bad + found, zero and all_zero, one and all_one
        place += len(window)
    return Values(bad, first_bad, zero, one, key, low)


def _window(window: bytes, dtype: str, *, big_endian: bool, one: bool) -> tuple[int, int, bool, bool, int]:
    """Return how many numbers are not finite, where the first is, whether all are zero, all one, and a number's bytes."""
    import numpy as np

    if block := scales().get(dtype):
        width, places = block
        blocks = np.frombuffer(window, np.uint8)[: len(window) // width * width].reshape(-1, width)
        kind = ">u2" if big_endian else "<u2"
        broken = np.zeros(len(blocks), bool)
        for at in places:
            broken |= (np.ascontiguousarray(blocks[:, at : at + 2]).view(kind)[:, 0] & 0x7C00) == 0x7C00
        count = int(np.count_nonzero(broken))
        return count, int(np.argmax(broken)) if count else 0, not blocks.any(), False, width
    if dtype not in FLOATS:
        data = np.frombuffer(window, np.uint8)
        broken = data == 0x80 if dtype in _FNUZ else data[:0] == 1
        count = int(np.count_nonzero(broken))
        return count, int(np.argmax(broken)) if count else 0, not data.any(), False, 1
    width, mask, least, unit = FLOATS[dtype]
    bits = _bits(window, width, big_endian=big_endian)
    size = bits & bits.dtype.type(mask)
    most = int(size.max(initial=0))
    count = int(np.count_nonzero(size >= least)) if most >= least else 0
    first = int(np.argmax(size >= least)) if count else 0
    return count, first, most == 0, one and unit is not None and most == unit and bool((bits == unit).all()), width


def _bits(window: bytes, width: int, *, big_endian: bool) -> Bits:
    import numpy as np

    made: Bits = np.frombuffer(window[: len(window) // width * width], f"{'>' if big_endian else '<'}u{width}")
    return made.astype(made.dtype.newbyteorder("=")) if big_endian else made


def _low_bits(window: bytes, dtype: str, *, big_endian: bool) -> LowBits | None:
    """Return how the lowest bits of the fraction are spread, or None if too few numbers say something.

    Zero and subnormal numbers are left out: low bits are all they have.
    """
    import numpy as np

    if dtype not in _LOW:
        return None
    exponent, count = _LOW[dtype]
    width = FLOATS[dtype][0]
    bits = _bits(window[: _SAMPLE * width], width, big_endian=big_endian)
    low = bits[(bits & bits.dtype.type(exponent)) != 0]
    few = low[:_DISTINCT_OF]
    if len(low) < max(FEWEST, len(bits) * 9 // 10) or len(np.unique(few)) < len(few) // 4:
        return None  # mostly zero, or so few different numbers that each one's bits count many times
    planes = [((low >> bits.dtype.type(k)) & bits.dtype.type(1)).astype(np.uint8) for k in range(count)]
    bias = [float(plane.mean()) - 0.5 for plane in planes]
    odd = max(bias[0], *(abs(upper) - abs(lower) for lower, upper in pairwise(bias)))
    return LowBits(len(low), count, odd, _order((bits & bits.dtype.type(1)).astype(np.uint8)))


def _order(plane: NDArray[np.uint8]) -> float:
    """Return how many bits of entropy a byte packed from a plane lacks, beyond what its share of ones explains."""
    import numpy as np

    share = float(plane.mean())
    if len(plane) < _FEWEST_PACKED * 8 or not 0 < share < 1:
        return 0.0
    seen = np.bincount(np.packbits(plane[: len(plane) // 8 * 8]), minlength=256)
    total, part = int(seen.sum()), seen[seen > 0] / int(seen.sum())
    entropy = -float(np.sum(part * np.log2(part))) + (len(part) - 1) / (2 * total * math.log(2))
    fair = -8 * (share * math.log2(share) + (1 - share) * math.log2(1 - share))
    return max(0.0, fair - entropy)


def numbers(
    stream: BinaryIO, start: int, length: int, dtype: str, *, most: int, big_endian: bool = False
) -> NDArray[np.float32] | None:
    """Return a tensor's numbers, or None if there are more than ``most`` or its type is no plain float."""
    import numpy as np

    if dtype not in ("F16", "BF16", "F32", "F64") or length // FLOATS[dtype][0] > most:
        return None
    stream.seek(start)
    bits = _bits(stream.read(length), FLOATS[dtype][0], big_endian=big_endian)
    if dtype == "BF16":
        return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    kind = {"F16": np.float16, "F32": np.float32, "F64": np.float64}[dtype]
    return bits.view(kind).astype(np.float32)


def same(stream: BinaryIO, first: int, second: int, length: int) -> bool:
    """Return whether two places of a file hold the same bytes."""
    for place in range(0, length, WINDOW):
        stream.seek(first + place)
        one = stream.read(min(WINDOW, length - place))
        stream.seek(second + place)
        if one != stream.read(len(one)):
            return False
    return True
