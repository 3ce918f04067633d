"""Arguments of pickle opcodes, read from a byte string as the unpicklers read them: leniently where they are lenient.

Each reader takes the bytes and the place after the opcode, and returns the value and the place after it. ``Cut`` is raised
where the bytes end too early. Read by ``pickles.machine``.

Source:
    ``_pickle.c`` and ``pickle.py`` of Python 3.11: numbers as text are of any base (``I0x10``), names are UTF-8 without escapes,
    quoted strings undo escapes. ``pickletools`` differs in all three, which hides what follows from scanners built on it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Final

from scanners._formats.pickles.pages import LONGEST, Octets

Read = tuple[object, int]
Reader = Callable[[Octets, int], Read]
#: Numbers of more bytes are kept as unreadable: nothing that is judged needs them.
_LONGEST_NUMBER = 64
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|[0-7]{1,3}|.)", re.DOTALL)


class Cut(Exception):  # noqa: N818 - not an error of ours
    """The bytes end inside an argument."""

    def __init__(self, end: int) -> None:
        super().__init__("its argument goes on after the end of the data")
        self.end = end


class _Unreadable:
    """Stands for text that is no number, which makes an unpickler stop."""


UNREADABLE: Final = _Unreadable()


def line(data: Octets, at: int) -> tuple[bytes, int]:
    """Read up to the next line break."""
    end = data.find(b"\n", at)
    if end < 0:
        raise Cut(len(data) + 1)
    return data[at : min(end, at + LONGEST)], end + 1


def text(raw: bytes) -> str:
    """Return text of a stream; what is no UTF-8 shows as escapes."""
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace")


def _fixed(layout: str) -> Reader:
    reader = struct.Struct(layout)
    unpack, size = reader.unpack, reader.size

    def read(data: Octets, at: int) -> Read:
        if at + size > len(data):
            raise Cut(at + size)
        return unpack(data[at : at + size])[0], at + size

    return read


def _counted(layout: str, make: Callable[[bytes], object]) -> Reader:
    reader = struct.Struct(layout)
    unpack, size = reader.unpack, reader.size

    def read(data: Octets, at: int) -> Read:
        if at + size > len(data):
            raise Cut(at + size)
        begin, length = at + size, unpack(data[at : at + size])[0]
        end = begin + length
        if length < 0 or end > len(data):
            raise Cut(end)
        return make(data[begin : min(end, begin + LONGEST)]), end

    return read


def _line_of(make: Callable[[bytes], object]) -> Reader:
    def read(data: Octets, at: int) -> Read:
        raw, end = line(data, at)
        return make(raw), end

    return read


def _names(data: Octets, at: int) -> Read:
    """Read a module and a qualified name; at the very end C takes a line without its break, less one character."""
    module, at = line(data, at)
    end = data.find(b"\n", at)
    if end < 0:
        raise Cut(len(data) + 1)
    return (text(module), text(data[at : min(end, at + LONGEST)])), end + 1


def _whole(raw: bytes) -> object:
    if raw in (b"00", b"01"):
        return raw == b"01"
    return _number(raw)


def _number(raw: bytes) -> object:
    if len(raw) > _LONGEST_NUMBER:
        return UNREADABLE if raw.strip(b"+-0123456789_L \t\r") else None
    words = raw.decode("latin-1").strip().removesuffix("L")
    for base in (0, 10):  # C reads INT in any base and LONG in ten; leading zeros are fine only in ten
        try:
            return int(words, base)
        except ValueError:
            continue
    return UNREADABLE


def _index(raw: bytes) -> object:
    try:
        return int(raw.decode("latin-1")) if len(raw) <= _LONGEST_NUMBER else UNREADABLE
    except ValueError:
        return UNREADABLE


def _real(raw: bytes) -> object:
    try:
        return float(raw)
    except ValueError:
        return UNREADABLE


def _long(raw: bytes) -> object:
    return int.from_bytes(raw, "little", signed=True) if len(raw) <= _LONGEST_NUMBER else None


def _quoted(raw: bytes) -> object:
    words = raw.strip()
    if len(words) < 2 or words[:1] != words[-1:] or words[:1] not in (b"'", b'"'):
        return UNREADABLE
    return _ESCAPE.sub(_unescaped, words[1:-1].decode("latin-1"))


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "x" and len(code) > 1:
        return chr(int(code[1:], 16))
    return chr(int(code, 8) & 0xFF) if code[0] in "01234567" else {"n": "\n", "t": "\t", "r": "\r", "\n": ""}.get(code, code)


def _raw_unicode(raw: bytes) -> object:
    try:
        return raw.decode("raw-unicode-escape")
    except UnicodeDecodeError:
        return UNREADABLE


def _latin(raw: bytes) -> object:
    return raw.decode("latin-1")


#: Reader by the opcode's name; opcodes without one take no argument.
READERS: dict[str, Reader] = {
    "INT": _line_of(_whole), "LONG": _line_of(_number), "FLOAT": _line_of(_real), "STRING": _line_of(_quoted),
    "UNICODE": _line_of(_raw_unicode), "PUT": _line_of(_index), "GET": _line_of(_index), "PERSID": _line_of(text),
    "GLOBAL": _names, "INST": _names,
    "BININT": _fixed("<i"), "BININT1": _fixed("<B"), "BININT2": _fixed("<H"), "BINFLOAT": _fixed(">d"),
    "BINPUT": _fixed("<B"), "LONG_BINPUT": _fixed("<I"), "BINGET": _fixed("<B"), "LONG_BINGET": _fixed("<I"),
    "EXT1": _fixed("<B"), "EXT2": _fixed("<H"), "EXT4": _fixed("<i"), "PROTO": _fixed("<B"), "FRAME": _fixed("<Q"),
    "LONG1": _counted("<B", _long), "LONG4": _counted("<i", _long),
    "BINSTRING": _counted("<i", _latin), "SHORT_BINSTRING": _counted("<B", _latin),
    "BINBYTES": _counted("<I", bytes), "SHORT_BINBYTES": _counted("<B", bytes), "BINBYTES8": _counted("<Q", bytes),
    "BYTEARRAY8": _counted("<Q", bytes),
    "BINUNICODE": _counted("<I", text), "SHORT_BINUNICODE": _counted("<B", text), "BINUNICODE8": _counted("<Q", text),
}  # fmt: skip
