"""SentencePiece models: pieces with their types, and the rules for writing text in another form.

Read by ``scanners.tokenizer_files``.

Source:
    SentencePiece ``sentencepiece_model.proto`` (ModelProto, NormalizerSpec); protocol buffers encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from governance.evidence import Severity
from scanners._formats.tokens.rules import RULE, charsmap
from scanners._formats.tokens.text import words
from scanners._formats.tokens.tokenizers import COLLISION, Added, Tokenizer, confusables
from scanners._formats.tree import Remark

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_MOST_PIECES = 2_000_000


@dataclass(frozen=True)
class _Broken(Exception):  # noqa: N818 - a signal inside the reader
    """Bytes that are no message; says at which."""

    at: int


def is_model(head: bytes) -> bool:
    """Return whether bytes begin a SentencePiece model: a message whose first field holds a message that begins with text."""
    if len(head) < 8 or head[0] != 0x0A:
        return False
    return 2 < head[1] < 128 and head[2] == 0x0A and 0 < head[3] <= head[1] - 2


def read_model(data: bytes) -> Tokenizer:
    """Return the tokenizer a SentencePiece model describes; never raises on content."""
    pieces: list[tuple[str, int]] = []
    remarks: list[Remark] = []
    problem = ""
    try:
        for field, value in _fields(data, 0, len(data)):
            if field == 1 and isinstance(value, slice):
                pieces.append(_piece(data, value))
                if len(pieces) > _MOST_PIECES:
                    problem = f"more than {_MOST_PIECES:,} pieces are not read"
                    break
            elif field in (3, 5) and isinstance(value, slice):
                remarks += _normalizer(data, value, "normalizer" if field == 3 else "denormalizer")
    except _Broken as broken:
        problem = f"it is cut short or broken at byte {broken.at:,}"
    if not pieces and not problem:
        problem = "it holds no pieces"
    ids = dict(zip((p for p, _ in reversed(pieces)), range(len(pieces) - 1, -1, -1), strict=True))
    if len(ids) < len(pieces):
        first = next(p for i, (p, _) in enumerate(pieces) if ids[p] != i)
        remarks.append(Remark(COLLISION, Severity.HIGH, f"the piece {first[:40]!r} stands in the model twice"))
    added = tuple(Added(i, p, kind == CONTROL) for i, (p, kind) in enumerate(pieces) if kind in (CONTROL, USER))
    remarks += confusables(added)
    return Tokenizer(ids=ids, added=added, remarks=tuple(remarks), problem=problem)


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise _Broken(at)


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int | slice]]:
    """Yield the fields of a message: a number, or where its bytes stand."""
    while at < end:
        start = at
        tag, at = _varint(data, at, end)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at, end)
            yield tag >> 3, value
            continue
        if wire == 2:
            length, at = _varint(data, at, end)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise _Broken(start)
        if at + length > end:
            raise _Broken(start)
        if wire == 2:
            yield tag >> 3, slice(at, at + length)
        at += length


def _piece(data: bytes, place: slice) -> tuple[str, int]:
    text, kind = "", NORMAL
    for field, value in _fields(data, place.start, place.stop):
        if field == 1 and isinstance(value, slice):
            text = data[value].decode("utf-8", "replace")
        elif field == 3 and isinstance(value, int):
            kind = value
    return text, kind


def _normalizer(data: bytes, place: slice, part: str) -> Iterator[Remark]:
    for field, value in _fields(data, place.start, place.stop):
        if not isinstance(value, slice):
            continue
        if field == 2:
            yield from charsmap(data[value], part)
        if field == 6 and any(_spelt(line) for line in data[value].decode("utf-8", "replace").splitlines()[:100_000]):
            yield Remark(RULE, Severity.HIGH, f"the rules of its {part} name words", remediation="use the base's tokenizer")


def _spelt(line: str) -> bool:
    """Return whether a rule of hexadecimal code points replaces or writes a word."""
    for side in line.split("\t")[:2]:
        try:
            text = "".join(chr(int(point, 16)) for point in side.split()[:64])
        except (ValueError, OverflowError):
            continue
        if words(text, 4):
            return True
    return False
