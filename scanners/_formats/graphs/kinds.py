"""Which model format content without a magic is, by its structure: protocol buffers, msgpack, HDF5 behind a user's block.

Read by ``kinds`` and ``model_graph``.

Source:
    onnx.proto3; tensorflow saved_model.proto, meta_graph.proto, graph.proto, saved_metadata.proto; sentencepiece_model.proto;
    Core ML Model.proto; msgpack specification; HDF5 file format 3.0, section II.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO

from scanners._formats.graphs.protobuf import BYTES, GROUP, LONG, SHORT, VARINT, Field, Wire, varint

#: Fields looked at; a message that goes on without any sign is a protocol buffer nobody knows.
_RECOGNISE = 5_000
_HDF5 = b"\x89HDF\r\n\x1a\n"
_CONTROLS = bytes(range(9)) + bytes(range(14, 27)) + bytes(range(28, 32))
_OP = re.compile(r"[A-Za-z_][A-Za-z0-9_>.:]{0,200}\Z")
_NAMED_OP = re.compile(r"[A-Z_][A-Za-z0-9_>]{0,200}\Z")


def is_hdf5(stream: BinaryIO, size: int) -> bool:
    """Return whether an HDF5 file begins behind a block of its user's: at 512 bytes, 1024, 2048 and so on."""
    return superblock(stream, size) > 0


def superblock(stream: BinaryIO, size: int) -> int:
    """Return where the first HDF5 file in a stream begins, at one of the places its library looks; 0 also if there is none."""
    place = 0
    while place + 8 <= size and place <= 1 << 40:
        stream.seek(place)
        if stream.read(8) == _HDF5:
            return place
        place = max(512, place * 2)
    return 0


def is_map(head: bytes) -> bool:
    """Return whether bytes begin a map whose first key is a name: what every Flax checkpoint is."""
    first = head[0] if head else 0
    at = 1 if 0x81 <= first <= 0x8F else 3 if first == 0xDE else 5 if first == 0xDF else 0
    if not at or len(head) < at + 3:
        return False
    mark = head[at]
    length, at = (mark & 31, at + 1) if 0xA0 <= mark <= 0xBF else (head[at + 1], at + 2) if mark == 0xD9 else (0, at)
    key, after = head[at : at + length], head[at + length : at + length + 1]
    if not length or len(key) < length or not after or after[0] == 0xC1:
        return False
    try:
        return key.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


def recognise(stream: BinaryIO, size: int) -> tuple[str, ...]:
    """Return which model formats a stream is by structure: ``onnx``, ``tensorflow``, ``sentencepiece``, ``coreml``, or several.

    A later fault does not matter: a loader may be more tolerant, and a reader says what it could not read.
    """
    stream.seek(0)
    tag, at = varint(stream.read(12), 0)
    if at < 0 or not 0 < tag >> 3 < 1 << 29 or tag & 7 not in (VARINT, LONG, BYTES, GROUP, SHORT):
        return ()
    found = dict[str, None]()
    for kind, path, fits in _SIGNS:
        if kind not in found and _holds(Wire(stream, size, _RECOGNISE), path, fits):
            found[kind] = None
    if not found:
        wire = Wire(stream, size, _RECOGNISE)
        count = sum(1 for _ in wire.fields(0, size))
        return ("protobuf",) if count >= _RECOGNISE and not _is_text(stream) else ()
    if "coreml" in found and len(found) > 1:
        del found["coreml"]
    return tuple(found)


def _is_text(stream: BinaryIO) -> bool:
    """Return whether a stream holds no control characters, far beyond its first fields: numbers in text may read as fields."""
    stream.seek(0)
    for _ in range(64):
        window = stream.read(1 << 20)
        if len(window.translate(None, _CONTROLS)) < len(window):
            return False
        if len(window) < 1 << 20:
            return True
    return False


def _holds(wire: Wire, path: tuple[int, ...], fits: Callable[[Wire, list[Field]], bool]) -> bool:
    """Return whether some message at the end of a path of field numbers fits."""
    stack = [(0, wire.size, 0)]
    while stack:
        start, end, level = stack.pop()
        if level == len(path):
            if fits(wire, list(wire.fields(start, end))):
                return True
            continue
        for field in wire.fields(start, end):
            if field.number == path[level] and field.wire == BYTES:
                stack.append((field.start, field.end, level + 1))
    return False


def _has(number: int, pattern: re.Pattern[str]) -> Callable[[Wire, list[Field]], bool]:
    def fits(wire: Wire, fields: list[Field]) -> bool:
        return any(
            f.number == number and f.end - f.start < 256 and bool(pattern.match(wire.text(f))) for f in fields if f.wire == BYTES
        )

    return fits


def _is_tf_node(wire: Wire, fields: list[Field]) -> bool:
    texts = {f.number: wire.text(f) for f in fields if f.wire == BYTES and f.number in (1, 2) and f.end - f.start < 256}
    return bool(texts.get(1)) and texts[1].isprintable() and bool(_NAMED_OP.match(texts.get(2, "")))


def _is_keras_node(wire: Wire, fields: list[Field]) -> bool:
    return any(f.number == 5 and f.wire == BYTES and wire.data(f, 1) == b"{" for f in fields) and any(f.number == 4 for f in fields)


def _is_initializer(_: Wire, fields: list[Field]) -> bool:
    numbers = {(f.number, f.wire) for f in fields}
    return (2, VARINT) in numbers and (8, BYTES) in numbers


def _is_piece(_: Wire, fields: list[Field]) -> bool:
    return {(f.number, f.wire) for f in fields} >= {(1, BYTES), (2, SHORT)}


def _is_fingerprint(wire: Wire, fields: list[Field]) -> bool:
    """Return whether a message is the fingerprint beside a SavedModel: hashes, a number in text and a version, nothing else."""
    plain = all(f.wire == (VARINT if f.number < 6 else BYTES) and f.number < 8 and f.end - f.start < 64 for f in fields)
    return plain and wire.broken is None and sum(f.value >> 32 > 0 for f in fields) >= 3


def _is_coreml(_: Wire, fields: list[Field]) -> bool:
    typed = any(200 <= f.number <= 3_999 and f.wire == BYTES for f in fields)
    return (
        typed and any(f.number == 1 and f.wire == VARINT for f in fields) and any(f.number == 2 and f.wire == BYTES for f in fields)
    )


def tensorflow_roots(stream: BinaryIO, size: int) -> tuple[str, ...]:
    """Return which messages of TensorFlow a stream may be: ``saved``, ``meta``, ``graph``, ``metadata``."""
    return tuple(dict.fromkeys(name for name, path, fits in _ROOTS if _holds(Wire(stream, size, _RECOGNISE), path, fits)))


_ROOTS: tuple[tuple[str, tuple[int, ...], Callable[[Wire, list[Field]], bool]], ...] = (
    ("saved", (2, 2, 1), _is_tf_node),
    ("saved", (2, 2, 2, 1, 3), _is_tf_node),
    ("meta", (2, 1), _is_tf_node),
    ("meta", (2, 2, 1, 3), _is_tf_node),
    ("graph", (1,), _is_tf_node),
    ("graph", (2, 1, 3), _is_tf_node),
    ("metadata", (1,), _is_keras_node),
)
_SIGNS: tuple[tuple[str, tuple[int, ...], Callable[[Wire, list[Field]], bool]], ...] = (
    ("onnx", (7, 1), _has(4, _OP)),
    ("onnx", (7, 5), _is_initializer),
    ("onnx", (25, 7), _has(4, _OP)),
    *(("tensorflow", path, fits) for _, path, fits in _ROOTS),
    ("tf-index", (), _is_fingerprint),
    ("sentencepiece", (1,), _is_piece),
    ("coreml", (), _is_coreml),
)
