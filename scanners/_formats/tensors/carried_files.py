"""Whether bytes begin with an intact file: not by its first letters, which noise has too, but by a structure that holds.

Read by ``scanners.tensor_layout`` for tensors that are not meant to hold numbers, and for text that decodes to bytes.

Source:
    ELF (System V ABI), PE/COFF and Mach-O headers; RFC 1952; APPNOTE 6.3.10; the .xz format 1.1; POSIX ustar; PEP 552.
"""

from __future__ import annotations

import bz2
import io
import struct
import zlib
from collections.abc import Callable, Iterator

from scanners._formats.archives.zips import is_zip
from scanners._formats.pickles.review import acts
from scanners._formats.pickles.streams import walk

#: What is looked at.
HEAD = 1 << 20
_MACHINES = frozenset({2, 3, 4, 8, 20, 21, 22, 40, 42, 43, 50, 62, 183, 190, 243, 247, 258})
_PE_MACHINES = frozenset({0x14C, 0x8664, 0x1C0, 0x1C4, 0xAA64, 0x200, 0x5032, 0x5064, 0xEBC})
#: Eight bytes or more that say enough on their own.
_LONG_MAGIC = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"Rar!\x1a\x07\x01\x00", "a rar archive"),
    (b"Rar!\x1a\x07\x00", "a rar archive"),
    (b"\x00asm\x01\x00\x00\x00", "a WebAssembly module"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE document"),
    (b"!<arch>\n", "a library archive"),
)


def carried_file(data: bytes) -> str | None:
    """Return what file bytes begin with, with its article, or None.

    Args:
        data: The first bytes, ``HEAD`` of them if there are so many.
    """
    if len(data) < 8:
        return None
    for magic, words in _LONG_MAGIC:
        if data.startswith(magic):
            return words
    return next(_structures(data), None)


def _structures(data: bytes) -> Iterator[str]:
    for begins, holds, words in _CHECKS:
        if data.startswith(begins) and holds(data):
            yield words
    if len(data) >= 512 and _is_tar(data):
        yield "a tar archive"


def _is_pickle(data: bytes) -> bool:
    """Return whether a pickle reaches its end and does more than noise would: imports a name, or goes on for long."""
    seen = walk(data, limit=200_000, most=1)
    return seen.sound and seen.pickles > 0 and (acts(data) or seen.opcodes >= 16)


def _is_elf(data: bytes) -> bool:
    if len(data) < 52 or data[4] not in (1, 2) or data[5] not in (1, 2) or data[6] != 1:
        return False
    if data[7] < 19 and not any(data[8:16]):
        return True  # sixteen bytes as the specification has them are no chance, whatever follows
    order, wide = "<" if data[5] == 1 else ">", data[4] == 2
    if wide and len(data) < 64:
        return False
    kind, machine, version = struct.unpack_from(order + "HHI", data, 16)
    header, entry, entries, section = struct.unpack_from(order + "HHHH", data, 52 if wide else 40)
    sizes = (64, 56, 64) if wide else (52, 32, 40)
    return (
        (kind in (1, 2, 3, 4) or kind >= 0xFE00)
        and version == 1
        and (machine in _MACHINES or machine < 300)
        and header in (0, sizes[0])
        and (entries == 0 or entry == sizes[1])
        and section in (0, sizes[2])
    )


def _is_program(data: bytes) -> bool:
    if len(data) < 64:
        return False
    at = int.from_bytes(data[60:64], "little")
    return data[at : at + 4] == b"PE\0\0" and int.from_bytes(data[at + 4 : at + 6], "little") in _PE_MACHINES


def _is_macho(data: bytes) -> bool:
    if len(data) < 28:
        return False
    order = "<" if data[:1] in (b"\xce", b"\xcf") else ">"
    cpu, _, kind, commands, length = struct.unpack_from(order + "IIIII", data, 4)
    return cpu & 0xFFFFFF in (7, 12, 18) and 1 <= kind <= 13 and 0 < commands < 10_000 and length < 1 << 24


def _is_fat(data: bytes) -> bool:
    count, cpu, _, offset = struct.unpack_from(">IIII", data.ljust(32, b"\0"), 4)
    return 0 < count < 40 and cpu & 0xFFFFFF in (7, 12, 18) and offset >= 8 + 20 * count


def _is_archive(data: bytes) -> bool:
    """Return whether the first local header is possible: version, method, name length, and a name that is text."""
    if len(data) < 31:
        return False
    version, _, method = struct.unpack_from("<HHH", data, 4)
    length = int.from_bytes(data[26:28], "little")
    name = data[30 : 30 + length]
    possible = version & 0xFF <= 63 and method in (0, 8, 9, 12, 14, 93, 95) and 0 < length <= 512 and len(name) == length
    return possible and name.decode("utf-8", "replace").isprintable() and (len(data) == HEAD or is_zip(io.BytesIO(data), len(data)))


def _inflates(data: bytes) -> bool:
    if len(data) < 18 or data[3] & 0xE0:
        return False
    opened = zlib.decompressobj(31)
    try:
        made = opened.decompress(data[: 1 << 16], 1 << 16)
    except zlib.error:
        return False
    return opened.eof or len(made) >= 4096


def _unzips(data: bytes) -> bool:
    if data[4:10] not in (b"1AY&SY", b"\x17rE8P\x90"):
        return False
    try:
        bz2.BZ2Decompressor().decompress(data[: 1 << 16], 1 << 16)
    except OSError:
        return False
    return True


def _is_xz(data: bytes) -> bool:
    return len(data) >= 12 and data[6] == 0 and zlib.crc32(data[6:8]) == int.from_bytes(data[8:12], "little")


def _is_7z(data: bytes) -> bool:
    return len(data) >= 32 and zlib.crc32(data[12:32]) == int.from_bytes(data[8:12], "little")


def _is_tar(data: bytes) -> bool:
    try:
        told = int(data[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return bool(data[0]) and told == sum(data[:148]) + 8 * 32 + sum(data[156:512])


def _is_text(data: bytes) -> bool:
    """Return whether the first line and what follows it are text."""
    head = data[:512].rstrip(b"\0")
    text = head.decode("utf-8", "ignore")
    return len(text.encode()) >= len(head) - 3 and all(c.isprintable() or c in "\t\r\n" for c in text)


def _is_script(data: bytes) -> bool:
    line = data[:128].split(b"\n", 1)[0][2:].strip()
    return line.startswith(b"/") and _is_text(data)


def _is_pdf(data: bytes) -> bool:
    return data[5:6].isdigit() and data[6:7] == b"." and b" obj" in data[:HEAD]


def _is_array(data: bytes) -> bool:
    return data[6] in (1, 2, 3) and b"'descr'" in data[:256]


def _is_weights(data: bytes) -> bool:
    return data[4:8] in (b"\x02\0\0\0", b"\x03\0\0\0", b"\0\0\0\x03", b"\0\0\0\x02")


_CHECKS: tuple[tuple[bytes, Callable[[bytes], bool], str], ...] = (
    (b"\x80", _is_pickle, "a pickle"),
    (b"c", _is_pickle, "a pickle"),
    (b"(", _is_pickle, "a pickle"),
    (b"}", _is_pickle, "a pickle"),
    (b"]", _is_pickle, "a pickle"),
    (b"\x7fELF", _is_elf, "an ELF program"),
    (b"MZ", _is_program, "a Windows program"),
    *((magic, _is_macho, "a Mach-O program") for magic in (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xfe\xed\xfa\xcf")),
    (b"\xca\xfe\xba\xbe", _is_fat, "a Mach-O program"),
    (b"PK\x03\x04", _is_archive, "a zip archive"),
    (b"\x1f\x8b\x08", _inflates, "gzip data"),
    (b"BZh", _unzips, "bzip2 data"),
    (b"\xfd7zXZ\x00", _is_xz, "xz data"),
    (b"7z\xbc\xaf\x27\x1c", _is_7z, "a 7z archive"),
    (b"#!", _is_script, "a script"),
    (b"%PDF-", _is_pdf, "a PDF"),
    (b"\x93NUMPY", _is_array, "a numpy array"),
    (b"GGUF", _is_weights, "a GGUF file"),
)
