"""The wire format of protocol buffers, read in place under ceilings.

Messages are walked by a schema that names only what is looked at; unknown fields are skipped as every parser skips them. A message
is never read whole: lengths are followed by seeking. Read by ``graphs.kinds``, ``onnx`` and ``tensorflow``.

Source:
    Protocol Buffers, "Encoding".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

_WINDOW = 1 << 16
#: Most fields of one message tree, and most messages inside each other; the official parsers stop at 100.
FIELDS, DEPTH = 1_500_000, 100
_TEXT = 1 << 20
#: Fields of one number that are kept of one message: names of inputs, settings of a node.
_LEAVES = 10_000
VARINT, LONG, BYTES, GROUP, END, SHORT = range(6)


class Field(NamedTuple):
    """One field: its number, its wire type, a number's value, and where its bytes lie."""

    number: int
    wire: int
    value: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a walk.

    Attributes:
        name: As the schema calls it.
        parent: Where the message around it begins.
        start: Where it begins.
        end: Where it ends.
        fields: Its fields that are no messages of the schema, by number.
    """

    name: str
    parent: int
    start: int
    end: int
    fields: Mapping[int, list[Field]]


#: Message by name → field number → name of the message in it.
Schema = Mapping[str, Mapping[int, str]]


class Wire:
    """Bytes that may be a protocol buffer; ``broken`` says why reading ended early, None if it did not."""

    def __init__(self, stream: BinaryIO, size: int, ceiling: int = FIELDS) -> None:
        self._stream, self.size, self._left = stream, size, ceiling
        self.broken: str | None = None

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Yield the fields between two places, in order; ends at the first that cannot be."""
        place, base, buffer, groups = start, start, b"", 0
        while place < end:
            if (place - base + 24 > len(buffer) and base + len(buffer) < end) or place < base:
                base, buffer = place, self._bytes(place, min(_WINDOW, end - place))
            self._left -= 1
            at = place - base
            tag = buffer[at] if at < len(buffer) else 128
            tag, at = (tag, at + 1) if tag < 128 else varint(buffer, at)
            number, wire = tag >> 3, tag & 7
            if self._left < 0:
                self.broken = self.broken or "it has more fields than are read"
                return
            if at < 0 or not 0 < number < 1 << 29 or wire > SHORT:
                self.broken = self.broken or f"what stands at byte {place:,} is no field of a protocol buffer"
                return
            value = 0
            if wire in (VARINT, BYTES):
                value = buffer[at] if at < len(buffer) else 128
                value, at = (value, at + 1) if value < 128 else varint(buffer, at)
            elif wire in (LONG, SHORT):
                width = 8 if wire == LONG else 4
                value, at = int.from_bytes(buffer[at : at + width], "little"), at + width
            after = base + at
            body = after if wire == BYTES else place
            after += value if wire == BYTES else 0
            if at < 0 or after > end:
                self.broken = self.broken or f"the field at byte {place:,} reaches beyond its message"
                if wire == BYTES and at > 0 and not groups:
                    yield Field(number, wire, value, body, end)  # what there is of it is looked at all the same
                return
            groups += (wire == GROUP) - (wire == END)
            if groups < 0:
                self.broken = self.broken or f"a group ends at byte {place:,} that never began"
                return
            if (not groups and wire < GROUP) or (wire == SHORT and not groups):
                yield Field(number, wire, value, body, after)
            place = after
        if groups:
            self.broken = self.broken or "a group does not end"

    def data(self, field: Field, limit: int = _TEXT) -> bytes:
        """Return a field's bytes, at most ``limit``."""
        return self._bytes(field.start, min(limit, field.end - field.start)) if field.wire == BYTES else b""

    def text(self, field: Field) -> str:
        """Return a field's text; what is no UTF-8 is escaped."""
        return self.data(field).decode("utf-8", "backslashreplace")

    def _bytes(self, start: int, length: int) -> bytes:
        self._stream.seek(start)
        return self._stream.read(length)


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number and where it ends; -1 if it does not end."""
    value, shift = 0, 0
    while 0 <= at < len(data) and shift < 70:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value & (1 << 64) - 1, at
    return 0, -1


def walk(wire: Wire, root: str, schema: Schema) -> Iterator[Message]:
    """Yield every message the schema names, from the root, in the order of the file; iterative and bounded.

    Args:
        wire: The bytes; its ``broken`` says afterwards whether something was left out.
        root: What the whole is.
        schema: Which fields are messages.
    """
    stack = [(root, -1, 0, wire.size, 0)]
    while stack:
        name, parent, start, end, depth = stack.pop()
        inner, leaves = schema.get(name, {}), dict[int, list[Field]]()
        below = list[tuple[str, int, int, int, int]]()
        for field in wire.fields(start, end):
            child = inner.get(field.number) if field.wire == BYTES else None
            if child is None:
                kept = leaves.setdefault(field.number, [])
                if len(kept) < _LEAVES:
                    kept.append(field)
            elif depth >= DEPTH:
                wire.broken = wire.broken or f"messages nested deeper than {DEPTH} are not read"
            else:
                below.append((child, start, field.start, field.end, depth + 1))
        yield Message(name, parent, start, end, leaves)
        stack.extend(reversed(below))
