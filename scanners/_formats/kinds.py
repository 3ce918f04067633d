"""What a file is, by its content; its name is only compared with it. Read by ``inventory`` and every scanner over bytes.

Source:
    The formats' own specifications and headers; a layout is recognised by what its loader would compute from it.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from scanners._formats.documents import is_lfs_pointer
from scanners._formats.kind_table import fits
from scanners._formats.pickle_names import grade
from scanners._formats.pickles import walk
from scanners._formats.zips import is_zip

_HEAD = 4096
#: Opcodes that must parse before bytes without any other sign count as a pickle that goes on.
_LONG_RUN = 256
#: Bytes read when an argument is longer than the first ones.
_MORE, _MOST = 1 << 18, 1 << 24
_ZIPS = ("zip", "torch-zip", "torchscript", "torch-export", "keras")
_MAGIC = (
    (b"GGUF", "gguf"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x93NUMPY", "numpy"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"Rar!\x1a\x07", "rar"),
    (b"SQLite format 3\x00", "sqlite"),
    (b"PAR1", "parquet"),
    (b"ARROW1\x00", "arrow"),
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF8", "image"),
    (b"OggS", "media"),
    (b"ID3", "media"),
    (b"fLaC", "media"),
    (b"\x1aE\xdf\xa3", "media"),
    (b"%PDF", "pdf"),
    (b"wOF2", "font"),
    (b"\x00\x01\x00\x00\x00", "font"),
)
#: Mach-O, thin and fat, and Python bytecode of 3.8 and later.
_NATIVE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xfe\xed\xfa\xce", b"\x00asm")


@dataclass(frozen=True)
class Kind:
    """What a file turned out to be.

    Attributes:
        id: A key of ``tables/kinds.yaml``.
        fits_name: Whether a file of this suffix may honestly hold it.
        also: A second kind the same bytes are, or None: an image that ends in a zip archive.
    """

    id: str
    fits_name: bool = True
    also: str | None = None


def kind_at(stream: BinaryIO, size: int, name: str) -> Kind:
    """Return the kind of a file or member; never raises on content.

    Args:
        stream: Its bytes, seekable.
        size: How many.
        name: Its path, only compared with the content.
    """
    found = kind_in(stream, size)
    also = "zip" if found not in _ZIPS and is_zip(stream, size) else None
    return Kind(found, fits(found, PurePosixPath(name).suffix.lower()), also)


def kind_of_bytes(data: bytes) -> str:
    """Return the kind of a member or a constant."""
    return kind_in(io.BytesIO(data), len(data))


def kind_in(stream: BinaryIO, size: int) -> str:
    """Return the kind of a stream's content."""
    stream.seek(0)
    head = stream.read(_HEAD)
    if not head:
        return "empty"
    if is_lfs_pointer(head):
        return "lfs-pointer"
    if _is_safetensors(head, size):
        return "safetensors"
    if _is_native(head):
        return "native"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head.startswith(b"RIFF"):
        return "image" if head[8:12] == b"WEBP" else "media"
    if head[4:8] == b"ftyp":
        return "media"
    if head[257:262] == b"ustar" or _is_old_tar(head):
        return "tar"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(stream)
    if is_pickle(head, whole=len(head) == size) or (size > len(head) and goes_on(stream, head, size)):
        return "pickle"
    return _packed_kind(head) or _text_kind(head, size) or ("zip" if is_zip(stream, size) else "unknown")


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and (length <= size or head[9:10] in b'"}')


def _is_native(head: bytes) -> bool:
    if head.startswith(_NATIVE):
        return True
    if head.startswith(b"MZ"):  # a program for Windows says where its real header is
        at = int.from_bytes(head[60:64], "little")
        return len(head) >= 64 and (head[at : at + 2] == b"PE" or b"\x00" in head[:64])
    if head.startswith(b"\xca\xfe\xba\xbe"):
        return True
    return head[2:4] == b"\r\n" and len(head) > 16 and 3390 <= int.from_bytes(head[:2], "little") <= 3800 and head[4] < 4


def _is_old_tar(head: bytes) -> bool:
    """Return whether a block has the checksum of a tar header without a magic."""
    if len(head) < 512 or not head[0]:
        return False
    try:
        told = int(head[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return told == sum(head[:148]) + 8 * 32 + sum(head[156:512])


def _zip_kind(stream: BinaryIO) -> str:
    stream.seek(0)
    try:
        with zipfile.ZipFile(stream) as archive:
            names = archive.namelist()[:20_000]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "zip"
    last = {n.rsplit("/", 1)[-1] for n in names}
    if "serialized_exported_program.json" in last or ("archive_format" in last and any("/models/" in f"/{n}" for n in names)):
        return "torch-export"
    if (
        "constants.pkl" in last
        or any("/.data/extern_modules" in f"/{n}" for n in names)
        or any("/code/" in f"/{n}" and n.endswith(".py") for n in names)
    ):
        return "torchscript"
    if "data.pkl" in last:
        return "torch-zip"
    return "keras" if {"config.json", "metadata.json"} <= set(names) else "zip"


def is_pickle(head: bytes, *, whole: bool = False) -> bool:
    """Return whether bytes begin a pickle.

    Protocol 2 and later announce themselves. Text may parse as older opcodes by chance, so such a stream must do what a
    loader would feel: call something it imported, end in STOP, or go on far without a fault.

    Args:
        head: The first bytes of a file or member.
        whole: Whether that is all of it.
    """
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return True
    seen = walk(head, limit=_HEAD)
    named = [i for i in seen.imports if i.name is not None and str(i.name).replace(".", "_").isidentifier()]
    until = seen.opcodes if seen.sound_opcodes is None else seen.sound_opcodes
    if seen.pickles and seen.sound:
        return bool(named) or (seen.opcodes >= 3 and not seen.imports and seen.end == len(head)) or len(seen.ends) > 1
    acts = any(c.offset for c in seen.calls) and bool(named)
    if acts and (until > 3 or any(i.name is not None and grade(i.name) == "dangerous" for i in named)):
        return True
    return not whole and seen.sound and until >= _LONG_RUN


def goes_on(stream: BinaryIO, head: bytes, size: int) -> bool:
    """Return whether an opcode's argument reaches beyond the first bytes, and what follows it makes the stream a pickle.

    Args:
        stream: The content.
        head: Its first bytes, which do not tell.
        size: Of all of it.
    """
    for most in (_MORE, _MOST):
        seen = walk(head, limit=_HEAD)
        if not (seen.wanted and seen.wanted <= size and seen.sound and len(head) < size):
            return False
        stream.seek(0)
        head = stream.read(most)
        if is_pickle(head, whole=len(head) == size):
            return True
    return len(head) < size  # so long an argument is looked at by the scanner of pickles


def _packed_kind(head: bytes) -> str | None:
    """Return the kind of compressed data without a magic: zlib by its check bits, lzma by its fixed fields."""
    if len(head) > 6 and head[0] == 0x78 and int.from_bytes(head[:2], "big") % 31 == 0 and head[1] in (0x01, 0x5E, 0x9C, 0xDA):
        return "zlib"
    if (
        head[:1] == b"\x5d"
        and head[1:5] in (b"\0\0\x80\0", b"\0\0\0\1", b"\0\0\x10\0", b"\0\0\0\4", b"\0\0\x40\0")
        and len(head) > 13
    ):
        return "lzma"
    return None


def _text_kind(head: bytes, size: int) -> str | None:
    if any(b < 32 and b not in b"\t\n\r\f\x1b\x08" for b in head):
        return "protobuf" if _is_protobuf(head) else None
    text = head.decode("utf-8", "ignore")
    if len(text.encode()) < len(head) - 4:
        return "protobuf" if _is_protobuf(head) else None
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith("#!"):
        return "python" if "python" in start.split("\n", 1)[0] else "shell"
    if start[:1] in ("{", "[") and (size > len(head) or _parses(text)):
        return "json"
    return "text"


def _parses(text: str) -> bool:
    try:
        json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return False
    return True


def _is_protobuf(head: bytes) -> bool:
    """Return whether the first fields read as a protocol buffer: small numbers of known wire types, lengths that fit."""
    place, fields = 0, 0
    while place < len(head) and fields < 8:
        tag, place = head[place], place + 1
        if tag >> 3 == 0 or tag & 7 not in (0, 2):
            return False
        value, shift = 0, 0
        while place < len(head) and shift < 64:
            byte = head[place]
            value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
            if byte < 128:
                break
        place += value if tag & 7 == 2 else 0
        fields += 1
    return fields > 0
