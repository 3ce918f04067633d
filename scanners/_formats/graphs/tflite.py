"""The operators a TensorFlow Lite model needs: the operator codes of its flatbuffer, nothing else of it.

Source:
    tensorflow/lite/schema/schema.fbs (version 3); FlatBuffers binary format.
"""

from __future__ import annotations

from typing import BinaryIO

from governance.evidence import Severity
from scanners._formats.graphs.onnx import Reading
from scanners._formats.tables import table
from scanners._formats.tree import Remark

_HEAD, _CODES = 16 << 20, 10_000
#: Custom operators that come with the runtime itself.
_OWN = frozenset({
    "TFLite_Detection_PostProcess", "AudioSpectrogram", "Mfcc", "NumericVerify", "Convolution2DTransposeBias", "FFT2D",
    "MaxPoolingWithArgmax2D", "MaxUnpooling2D", "RFFT2D", "IRFFT2D", "HashTable", "HashTableFind", "HashTableImport",
    "HashTableSize",
})  # fmt: skip


class _Buffer:
    """A flatbuffer, read by places; a place outside it is an IndexError."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size = stream, size

    def data(self, at: int, length: int) -> bytes:
        """Return bytes."""
        if at < 0 or length < 0 or at + length > self._size:
            raise IndexError(at)
        self._stream.seek(at)
        return self._stream.read(length)

    def number(self, at: int, width: int = 4, *, signed: bool = False) -> int:
        """Return a number."""
        return int.from_bytes(self.data(at, width), "little", signed=signed)

    def field(self, table_at: int, index: int) -> int:
        """Return where a table's field lies, 0 if it is absent."""
        virtual = table_at - self.number(table_at, signed=True)
        entry = 4 + 2 * index
        offset = self.number(virtual + entry, 2) if entry + 2 <= self.number(virtual, 2) else 0
        return table_at + offset if offset else 0

    def follow(self, at: int) -> int:
        """Return where an offset leads."""
        return at + self.number(at)


def read(stream: BinaryIO, size: int) -> Reading:
    """Read the operator codes; never raises on content."""
    buffer, remarks = _Buffer(stream, size), list[Remark]()
    try:
        root = buffer.follow(0)
        codes = buffer.field(root, 1)
        start = buffer.follow(codes) if codes else 0
        count = buffer.number(start) if codes else 0
        if count > _CODES:
            raise IndexError(count)
        for i in range(count):
            code = buffer.follow(start + 4 + 4 * i)
            custom = buffer.field(code, 1)
            if custom:
                text = buffer.follow(custom)
                name = buffer.data(text + 4, min(buffer.number(text), 200)).decode("utf-8", "backslashreplace")
                remarks += _custom(name, text)
    except IndexError:
        why = "its operator codes cannot be read"
        return Reading((*remarks, Remark("graph-broken", Severity.MEDIUM, why)), (why,))
    return Reading(tuple(dict.fromkeys(remarks)))


def _custom(name: str, at: int) -> list[Remark]:
    """Return what a custom operator means; ``Flex`` operators are TensorFlow's own."""
    rows = table("graph_ops")
    inner = name.removeprefix("Flex")
    acts = [effect for effect in ("python", "file", "network", "process") if inner != name and inner in rows["effects"][effect]]
    if acts:
        words = f"the operation {inner[:80]!a} of TensorFlow touches more than tensors ({acts[0]})"
        return [Remark("graph-side-effect", Severity.HIGH, words, at)]
    if name in _OWN or (inner != name and inner in rows["known"]):
        return []
    return [Remark("custom-operator", Severity.MEDIUM, f"the custom operator {name[:80]!a} needs native code", at)]
