"""GGUF files, written byte by byte, honest and otherwise."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

TYPES = {
    "u8": 0,
    "i8": 1,
    "u16": 2,
    "i16": 3,
    "u32": 4,
    "i32": 5,
    "f32": 6,
    "bool": 7,
    "str": 8,
    "arr": 9,
    "u64": 10,
    "i64": 11,
    "f64": 12,
}
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}


def gguf(
    meta: Sequence[Sequence[object]] = (),
    tensors: Sequence[Sequence[object]] = (),
    *,
    version: int = 3,
    big: bool = False,
    align: int = 32,
    counts: Sequence[int] | None = None,
    data: bytes | None = None,
    tail: bytes = b"",
) -> bytes:
    """Return a GGUF file.

    Args:
        meta: Entries ``[key, type, value]``; an array is ``[key, arr, element type, values]``; ``[key, number]`` writes a type
            that may be none, and nothing after it.
        tensors: Rows ``[name, type number, [axes], bytes]`` and, if it lies, the offset.
        version: As written.
        big: High byte first.
        align: Used for the data; write ``general.alignment`` yourself.
        counts: What the header says of tensors and entries, if it lies.
        data: The data instead of zeros.
        tail: Behind the data.
    """
    order = ">" if big else "<"

    def text(value: object) -> bytes:
        raw = value if isinstance(value, bytes) else str(value).encode()
        return struct.pack(order + "Q", len(raw)) + raw

    def item(kind: int, value: object) -> bytes:
        if kind == 8:
            return text(value)
        if kind == 9 and isinstance(value, list):
            inner, values = TYPES[str(value[0])], value[1]
            return struct.pack(order + "IQ", inner, len(values)) + b"".join(item(inner, v) for v in values)
        return struct.pack(order + _CODES[kind], value)

    out = b"GGUF" + struct.pack(order + "IQQ", version, *(counts or (len(tensors), len(meta))))
    for key, kind, *value in meta:
        code = kind if isinstance(kind, int) else TYPES[str(kind)]
        out += text(key) + struct.pack(order + "I", code)
        if value:
            out += item(code, value if code == 9 else value[0])
    place, body = 0, b""
    for name, kind, axes, size, *lie in tensors:
        assert isinstance(axes, list)
        out += text(name) + struct.pack(f"{order}I{len(axes)}QIQ", len(axes), *axes, kind, lie[0] if lie else place)
        body += b"\0" * int(str(size))
        body += b"\0" * (-len(body) % align)
        place = len(body)
    out += b"\0" * (-len(out) % align)
    return out + (body if data is None else data) + tail


def cooked(recipe: Mapping[str, object]) -> bytes:
    """Return the file of a recipe in a case: the arguments of ``gguf`` by name; ``tail`` and ``data`` as text."""
    given = {k: str(v).encode("latin-1") if k in ("tail", "data") else v for k, v in recipe.items()}
    return gguf(**given)  # type: ignore[arg-type]
