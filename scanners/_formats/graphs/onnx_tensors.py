"""Tensors of an ONNX model against their own shape, and the files its constants and unknown fields carry. Read by ``onnx``.

Source:
    onnx.proto3 (IR version 13), message TensorProto; ONNX "External Data".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from scanners._formats.graphs.protobuf import BYTES, VARINT, Field, Message, Wire, varint
from scanners._formats.tensors.carried_files import HEAD, carried_file

#: Bits of one element by data_type, and which of them are plainly fractions.
_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16, 17: 8, 18: 8,
    19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
_FRACTIONS = frozenset({1, 10, 11, 14, 15, 16})
_DIMS, _TYPE, _RAW, _EXTERNAL, _NEGATIVE = 1, 2, 9, 13, 1 << 63
_SHORTEST, _MOST_AXES = 64, 100
#: Fields each message has by the format; text and names among them are not looked into.
_KNOWN = {
    "model": frozenset((*range(1, 9), 14, 20, 25, 26)) - {6},
    "graph": frozenset((1, 2, 5, 11, 12, 13, 14, 15, 16)),
    "node": frozenset((1, 2, 3, 4, 5, 7, 8, 9, 10)),
    "tensor": frozenset((*range(1, 15), 16)) - {_RAW, 12},
}


@dataclass(frozen=True)
class External:
    """Where a tensor's data lies outside the model; ``end`` is 0 if the tensor does not say."""

    location: str
    end: int


def faults(wire: Wire, message: Message) -> Iterator[tuple[str, int]]:
    """Yield what cannot be true of one tensor, with its place."""
    dims = list(_dims(wire, message.fields.get(_DIMS, ())))[:_MOST_AXES]
    if any(d >= _NEGATIVE for d in dims):
        yield "a tensor has a negative dimension", message.start
        return
    need = _bytes(message, dims)
    for raw in message.fields.get(_RAW, ()):
        if need is not None and raw.end - raw.start != need:
            yield f"a tensor holds {raw.end - raw.start:,} bytes where its shape needs {need:,}", raw.start
    settings = _settings(wire, message)
    for key in ("offset", "length"):
        text = settings.get(key, "0").strip()
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            yield f"the {key} of a tensor's external data is {text[:40]!a}, which is no number of bytes", message.start
            return
    length = settings.get("length", "").strip()
    if length and need is not None and int(length) != need:
        yield f"a tensor's external data has {int(length):,} bytes where its shape needs {need:,}", message.start


def external(wire: Wire, message: Message) -> External | None:
    """Return where a tensor's data ends outside the model, or None if it is inside."""
    settings = _settings(wire, message)
    if not settings.get("location"):
        return None
    given = [settings.get(k, "0").strip() for k in ("offset", "length")]
    if not all(g.isascii() and g.isdigit() and len(g) < 20 for g in given):
        return None
    dims = list(_dims(wire, message.fields.get(_DIMS, ())))[:_MOST_AXES]
    length = int(given[1]) or (_bytes(message, dims) or 0 if all(d < _NEGATIVE for d in dims) else 0)
    return External(settings["location"], int(given[0]) + length)


def carried(wire: Wire, message: Message) -> Iterator[tuple[str, int]]:
    """Yield the intact files that a constant of whole numbers, a documentation text or an unknown field begins with."""
    known = _KNOWN.get(message.name)
    if known is None:
        return
    plain = any(f.value in _FRACTIONS for f in message.fields.get(_TYPE, ()) if f.wire == VARINT)
    for number, fields in message.fields.items():
        if number in known or (message.name == "tensor" and number == _RAW and plain):
            continue
        for field in fields:
            if field.wire != BYTES or field.end - field.start < _SHORTEST:
                continue
            head = wire.data(field, 1_024)
            if words := carried_file(head if field.end - field.start <= 1_024 or not _promising(head) else wire.data(field, HEAD)):
                yield f"bytes that should be numbers or text begin with {words}", field.start


def _promising(head: bytes) -> bool:
    return head.startswith((b"\x80", b"c", b"(", b"}", b"]", b"PK", b"\x1f\x8b", b"BZh", b"MZ", b"%PDF"))


def _settings(wire: Wire, message: Message) -> Mapping[str, str]:
    found = dict[str, str]()
    for entry in message.fields.get(_EXTERNAL, ())[:20]:
        pair = {f.number: wire.text(f) for f in wire.fields(entry.start, entry.end) if f.number in (1, 2)}
        found[pair.get(1, "")] = pair.get(2, "")
    return found


def _dims(wire: Wire, fields: list[Field] | tuple[Field, ...]) -> Iterator[int]:
    for field in fields:
        if field.wire == VARINT:
            yield field.value
        elif field.wire == BYTES:  # packed
            data, at = wire.data(field, 1_000), 0
            while 0 <= at < len(data):
                value, at = varint(data, at)
                if at >= 0:
                    yield value


def _bytes(message: Message, dims: list[int]) -> int | None:
    """Return the bytes a tensor's shape needs, or None if its type is not known here."""
    kinds = [f.value for f in message.fields.get(_TYPE, ()) if f.wire == VARINT]
    bits = _BITS.get(kinds[-1]) if kinds else None
    return None if bits is None else -(-prod(dims) * bits // 8)
