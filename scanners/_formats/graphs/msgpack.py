"""Flax's msgpack checkpoints: nested maps of arrays, walked without building them. Read by ``model_graph``.

Source:
    msgpack specification (spec.md, 2017); flax 0.10, serialization.py: extension 1 is an array, 2 a complex number,
    3 a numpy scalar.
"""

from __future__ import annotations

from typing import BinaryIO

from governance.evidence import Severity
from scanners._formats.graphs.onnx import Reading
from scanners._formats.tensors.carried_files import carried_file
from scanners._formats.tree import Remark

_ITEMS, _DEPTH = 5_000_000, 200
#: Keys that are remembered, and findings of one document.
_MOST_KEYS, _LONGEST_KEY, _MOST_SAID = 500_000, 1_024, 200
#: First byte of items of fixed size → bytes that follow.
_FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
#: First byte of text and bytes → width of their length.
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXTENDED = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTENDED = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_ARRAYS, _MAPS = {0xDC: 2, 0xDD: 4}, {0xDE: 2, 0xDF: 4}
#: Bytes of one element, by numpy's name.
_WIDTHS = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2, "V2": 2, "int32": 4, "uint32": 4,
    "float32": 4, "int64": 8, "uint64": 8, "float64": 8, "complex64": 8, "complex128": 16,
}  # fmt: skip
#: Types of fewer bits or of eight, whose stored width differs between writers.
_NARROW = ("float8", "float4", "float6", "int4", "uint4", "int2", "uint2")
_HEAD = 1_024
_FLAX = {1: "an array", 2: "a complex number", 3: "a numpy scalar"}


def read(stream: BinaryIO, size: int) -> Reading:
    """Walk a msgpack document; never raises on content.

    Args:
        stream: Its bytes, seekable; numbers and text are skipped by their length.
        size: How many.
    """
    found = dict[tuple[str, str], Remark]()
    walker = _Walker(stream, size)
    why = walker.walk(0, size, found, True)
    if why is None and walker.at < size:
        words = f"{size - walker.at:,} bytes follow its end"
        found["", words] = Remark("graph-broken", Severity.MEDIUM, words, walker.at)
    elif why is not None:
        found["", why] = Remark("graph-broken", Severity.MEDIUM, why, walker.at)
    return Reading(tuple(found.values()), (why,) if why else ())


class _Walker:
    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size, self._left, self.at = stream, size, _ITEMS, 0
        self._keys = _MOST_KEYS

    def _take(self, width: int, end: int) -> int:
        """Return the next unsigned number; -1 past the end."""
        if self.at + width > end:
            return -1
        data = self._stream.read(width)
        self.at += width
        return int.from_bytes(data, "big") if len(data) == width else -1

    def walk(self, start: int, end: int, found: dict[tuple[str, str], Remark], outer: bool) -> str | None:
        """Walk one item with everything in it; return why it could not be walked."""
        self.at, counts = start, [1]
        keys: list[set[bytes] | None] = [None]
        self._stream.seek(start)
        inside = list[tuple[int, int]]()
        while counts:
            if counts[-1] == 0:
                counts.pop()
                keys.pop()
                continue
            counts[-1] -= 1
            own = keys[-1] if counts[-1] % 2 else None  # of each pair, the key comes first
            self._left -= 1
            mark = self._take(1, end)
            if mark < 0:
                return "it is cut off"
            if self._left < 0 or len(counts) > _DEPTH:
                return f"it has more than {_ITEMS:,} items, or is nested deeper than {_DEPTH}"
            children, length, code = self._item(mark, end)
            if children < 0 or length < 0:
                return f"what stands at byte {self.at - 1:,} is no msgpack" if mark == 0xC1 else "it is cut off"
            if code is not None:
                self._extension(code, found)
                if code in (1, 3):
                    inside.append((self.at, self.at + length))
            if outer and mark in (0xC4, 0xC5, 0xC6) and length >= 16 and self.at + length <= end:
                self._carried(self._stream.read(min(length, _HEAD)), self.at, found)
            if own is not None and (0xA0 <= mark < 0xC0 or mark in (0xD9, 0xDA, 0xDB)) and 0 < length <= _LONGEST_KEY:
                self._key(self._stream.read(length), own, found)
            if length:
                self.at += length
                if self.at > end:
                    return "it is cut off"
                self._stream.seek(self.at)
            if children:
                counts.append(children)
                keys.append(set() if 0x80 <= mark < 0x90 or mark in _MAPS else None)
        last = self.at
        for begin, finish in inside if outer else ():
            why = self.walk(begin, finish, found, False)
            if why is not None or self.at != finish:
                words = "an array in it is no array of Flax"
                found.setdefault(("", words), Remark("graph-broken", Severity.MEDIUM, words, begin))
            elif words := self._array(begin, finish, found):
                found.setdefault(("", words), Remark("graph-broken", Severity.MEDIUM, words, begin))
        self.at = last
        return None

    def _key(self, key: bytes, own: set[bytes], found: dict[tuple[str, str], Remark]) -> None:
        if key in own:
            shown = key[:60].decode("utf-8", "backslashreplace")
            words = f"a map in it has the key {shown!a} more than once: readers differ in which counts"
            if len(found) < _MOST_SAID:
                found.setdefault(("", words), Remark("graph-broken", Severity.MEDIUM, words, self.at))
        elif self._keys:
            self._keys -= 1
            own.add(key)

    def _item(self, mark: int, end: int) -> tuple[int, int, int | None]:
        """Return how many items are in the next one, how many bytes it has, and its extension code."""
        if mark < 0x80 or mark >= 0xE0:
            return 0, 0, None
        if mark < 0x90:
            return (mark & 15) * 2, 0, None
        if mark < 0xA0:
            return mark & 15, 0, None
        if mark < 0xC0:
            return 0, mark & 31, None
        if mark in _FIXED:
            return 0, _FIXED[mark], None
        if mark in _SIZED:
            return 0, self._take(_SIZED[mark], end), None
        if mark in _FIXED_EXTENDED:
            return 0, _FIXED_EXTENDED[mark], self._take(1, end)
        if mark in _EXTENDED:
            length = self._take(_EXTENDED[mark], end)
            return 0, length, self._take(1, end)
        if mark in _ARRAYS:
            return self._take(_ARRAYS[mark], end), 0, None
        if mark in _MAPS:
            count = self._take(_MAPS[mark], end)
            return count * 2 if count >= 0 else -1, 0, None
        return -1, -1, None

    def _array(self, begin: int, end: int, found: dict[tuple[str, str], Remark]) -> str:
        """Return what is wrong with an array as Flax packs it: its shape, the name of its type, its bytes."""
        self._stream.seek(begin)
        self.at = begin
        if self._item(self._take(1, end), end)[0] != 3:
            return "an array in it is no array of Flax"
        count = 1
        axes = self._item(self._take(1, end), end)[0]
        for _ in range(min(max(axes, 0), 64)):
            mark = self._take(1, end)
            count *= mark if 0 <= mark < 0x80 else self._take(_FIXED[mark], end) if 0xCC <= mark <= 0xD3 else 0
        mark = self._take(1, end)
        length = self._item(mark, end)[1]
        kind = self._stream.read(min(max(length, 0), 40)).decode("ascii", "replace")
        self.at += max(length, 0)
        self._stream.seek(self.at)
        size = self._item(self._take(1, end), end)[1]
        if kind.startswith(_NARROW):
            return ""
        width = _WIDTHS.get(kind)
        if width is None:
            return f"an array in it has the type {kind!a}, which is no number"
        if not kind.startswith(("float", "bfloat", "complex", "V")) and size >= 16:
            self._carried(self._stream.read(min(size, _HEAD)), self.at, found)
        return f"an array in it has {size:,} bytes where its shape needs {count * width:,}" if size != count * width else ""

    def _carried(self, head: bytes, at: int, found: dict[tuple[str, str], Remark]) -> None:
        if words := carried_file(head):
            said = f"bytes in it begin with {words}"
            found.setdefault(("graph-carries-file", said), Remark("graph-carries-file", Severity.MEDIUM, said, at))

    def _extension(self, code: int, found: dict[tuple[str, str], Remark]) -> None:
        if code not in _FLAX:
            number = code if code < 128 else code - 256
            words = f"it holds data of extension type {number}, which Flax does not know: it needs a decoder of its own"
            found.setdefault(("custom-operator", words), Remark("custom-operator", Severity.MEDIUM, words, self.at))
