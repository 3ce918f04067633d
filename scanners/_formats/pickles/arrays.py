"""Arrays that joblib writes into the middle of a pickle: raw numbers, or a further pickle for an array of objects.

Read by ``pickles.machine``, which would take the numbers for opcodes.

Source:
    joblib 1.5 ``numpy_pickle.NumpyArrayWrapper.write_array``: a padding length of one byte, the padding, then the elements.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

from scanners._formats.pickles.values import Box, Made, Name, tuple_of

_WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
_CODE = re.compile(r"[<>=|]?([a-zA-Z?])(\d*)\Z")
_WIDE = {"U": 4}


@dataclass(frozen=True)
class RawArray:
    """What follows in the stream.

    Attributes:
        size: Bytes of the elements; None if a pickle follows instead.
        padded: Whether a padding length and padding stand before them.
    """

    size: int | None
    padded: bool


def raw_array(made: Made) -> RawArray | None:
    """Return what follows an object that has just been given its state, or None if it is no array's wrapper."""
    if not made.arguments and not isinstance(made.callee, Name):
        return None
    names = {str(v) for v in (made.callee, *made.arguments[:1]) if isinstance(v, Name)}
    if _WRAPPER not in names or not isinstance(made.state, Box) or made.state.kind != "dict":
        return None
    fields = {k: v for k, v in zip(made.state.items[::2], made.state.items[1::2], strict=False) if isinstance(k, str)}
    shape, kind = tuple_of(fields.get("shape")), fields.get("dtype")
    code = kind.arguments[0] if isinstance(kind, Made) and kind.arguments else None
    match = _CODE.match(code) if isinstance(code, str) else None
    counts = [n for n in shape if isinstance(n, int) and n >= 0]
    if match is None or len(counts) != len(shape):
        return None
    padded = isinstance(fields.get("numpy_array_alignment_bytes"), int)
    if match[1] == "O":
        return RawArray(None, padded=False)
    width = 1 if match[1] == "?" else int(match[2] or 0) * _WIDE.get(match[1], 1)
    return RawArray(width * prod(counts), padded)
