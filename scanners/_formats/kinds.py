"""What a file is, by its content; its name is only compared with it. Read by ``inventory`` and every scanner over bytes.

Source:
    The formats' own specifications and headers; a layout is recognised by what its loader would compute from it.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO

from scanners._formats.archives.tars import header_of
from scanners._formats.archives.zip_parts import parts
from scanners._formats.archives.zip_records import Directory, directories
from scanners._formats.documents import is_lfs_pointer
from scanners._formats.graphs.kinds import is_hdf5, is_map, recognise
from scanners._formats.kind_table import fits
from scanners._formats.pickles.names import grade
from scanners._formats.pickles.streams import walk

_HEAD = 4096
#: Opcodes that must parse before bytes without any other sign count as a pickle that goes on.
_LONG_RUN = 256
#: Bytes read when an argument is longer than the first ones.
_MORE, _MOST = 1 << 18, 1 << 24
#: Text that is not UTF-8 is told from numbers only if there is this much of it.
_SHORTEST_TEXT = 48
_ZIPS = ("zip", "torch-zip", "torchscript", "torch-export", "keras")
_MAGIC = (
    (b"GGUF", "gguf"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x93NUMPY", "numpy"),
    (b"\x1f\x8b\x08", "gzip"),
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
    (b"OTTO\x00", "font"),
    (b"ptrt", "tensorrt"),
    (b"ftrt", "tensorrt"),
    (b"RDX", "rdata"),
    (b"RDA", "rdata"),
    (b"X\n\x00\x00\x00", "rdata"),
)
#: The end of a sorted table, as the index of a TensorFlow checkpoint is one.
_TABLE_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
#: ELF; Mach-O, thin and fat, and Java; wasm; static libraries; Dalvik; LLVM bitcode.
_NATIVE = (
    b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xfe\xed\xfa\xce",
    b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf",    b"\x00asm", b"!<arch>\n", b"dex\n03", b"BC\xc0\xde",
)  # fmt: skip
_ZIP_HEADS = (b"PK\x03\x04", b"PK\x05\x06", b"PK00PK\x03\x04", b"PK\x07\x08PK\x03\x04")
_TEXTS = ("text", "json", "html", "python", "shell")
_HTML = re.compile(rb"<(!doctype\s+html|html|script|svg|iframe|body)[\s>]", re.IGNORECASE)
_PDF = re.compile(rb"%PDF-\d")


@dataclass(frozen=True)
class Kind:
    """What a file turned out to be.

    Attributes:
        id: A key of ``tables/kinds.yaml``.
        fits_name: Whether a file of this suffix may honestly hold it.
        also: A second kind the same bytes are, or None: an image that ends in a zip archive.
        directories: Of a zip, as they were read to tell its kind.
    """

    id: str
    fits_name: bool = True
    also: str | None = None
    directories: list[Directory] | None = field(default=None, compare=False, repr=False)


def kind_at(stream: BinaryIO, size: int, name: str) -> Kind:
    """Return the kind of a file or member; never raises on content.

    Args:
        stream: Its bytes, seekable.
        size: How many.
        name: Its path, only compared with the content.
    """
    stream.seek(0)
    head = stream.read(_HEAD)
    if head.startswith(_ZIP_HEADS) and name.endswith(".distcp") and parts(stream, size):
        return Kind("torch-parts")
    listed = directories(stream, size, far=head.startswith(_ZIP_HEADS)) if size >= 22 else []
    found = _kind(head, stream, size, listed)
    also = _second(found, head, stream, size, listed)
    return Kind(found, fits(found, PurePosixPath(name).suffix.lower()), also, listed or None)


def kind_of_bytes(data: bytes) -> str:
    """Return the kind of a member or a constant."""
    return kind_in(io.BytesIO(data), len(data))


def kind_of_head(head: bytes, size: int) -> str:
    """Return the kind of content whose first bytes are all that is looked at."""
    return _kind(head, io.BytesIO(head), size, [])


def kind_in(stream: BinaryIO, size: int) -> str:
    """Return the kind of a stream's content."""
    stream.seek(0)
    head = stream.read(_HEAD)
    return _kind(head, stream, size, directories(stream, size, far=head.startswith(_ZIP_HEADS)) if size >= 22 else [])


def _kind(head: bytes, stream: BinaryIO, size: int, listed: list[Directory]) -> str:
    if not head:
        return "empty"
    if is_lfs_pointer(head):
        return "lfs-pointer"
    if _is_safetensors(head, size):
        return "safetensors"
    if _is_native(head):
        return "native"
    named = _by_magic(head) or _by_frame(head, size)
    if named is not None:
        return named
    if _is_tar(head):
        return "tar"
    if head.startswith(_ZIP_HEADS):
        return _zip_kind(listed)
    if is_pickle(head, whole=len(head) == size) or (size > len(head) and goes_on(stream, head, size)):
        return "pickle"
    known = _graph_kind(stream, head, size) or _packed_kind(head) or _text_kind(head, size)
    return known or (_zip_kind(listed) if listed else _tail_kind(stream, size))


def _by_magic(head: bytes) -> str | None:
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bzip2"
    if head.startswith(b"\x00\x01\x00\x00\x00") and len(head) > 16 and 0 < head[5] <= 64 and head[12:16].isalnum():
        return "font"
    if head.startswith(b"RIFF"):
        return "image" if head[8:12] == b"WEBP" else "media"
    return {b"ftyp": "media", b"TFL3": "tflite"}.get(head[4:8])


def _by_frame(head: bytes, size: int) -> str | None:
    """Return the kind of a stream of messages that is known by its first one.

    Source:
        TensorFlow ``record_writer.cc`` and ``event.proto`` (a length, its checksum, an event that names the version); Arrow
        columnar format, "Encapsulated message format".
    """
    length = int.from_bytes(head[:8], "little")
    if head[12:13] == b"\x09" and 16 + length <= size and b"brain.Event:" in head[12 : 12 + min(length, 64)]:
        return "tfevents"
    wide = int.from_bytes(head[4:8], "little")
    return "arrow" if head[:4] == b"\xff\xff\xff\xff" and 0 < wide <= size - 8 and wide % 8 == 0 else None


def _second(found: str, head: bytes, stream: BinaryIO, size: int, listed: list[Directory]) -> str | None:
    """Return another kind that a reader of that kind would take the same bytes for, or None."""
    if listed and found not in _ZIPS:
        return _zip_kind(listed)
    if found != "tar" and _is_tar(head):
        return "tar"
    if found not in ("pickle", *_TEXTS, "empty", "lfs-pointer", "unknown", "zlib", "lzma") and _acts(head):
        return "pickle"
    if found in _TEXTS:
        return "pdf" if _PDF.search(head[:1024]) and _ends_in(stream, size, b"%%EOF") else None
    if found not in ("pdf", "safetensors") and _PDF.search(head[:1024]):
        return "pdf"
    if found not in ("safetensors", "hdf5") and is_hdf5(stream, size):
        return "hdf5"
    if found in ("image", "media", "font", "pdf", "gguf", "zip", "native") and _HTML.search(head[:256]):
        return "html"
    return None


def _ends_in(stream: BinaryIO, size: int, words: bytes) -> bool:
    stream.seek(max(0, size - 1024))
    return words in stream.read(1024)


def _acts(head: bytes) -> bool:
    """Return whether a pickle loader that was given these bytes would call something dangerous."""
    seen = walk(head, limit=_HEAD)
    return bool(seen.calls) and any(i.name is not None and grade(i.name) == "dangerous" for i in seen.imports)


def _graph_kind(stream: BinaryIO, head: bytes, size: int) -> str | None:
    """Return the kind of a model without a magic: a known protocol buffer by its structure, or a msgpack map."""
    return next(iter(recognise(stream, size)), None) or ("msgpack" if is_map(head) else None)


def _tail_kind(stream: BinaryIO, size: int) -> str:
    """Return the kind of content that is known by its end, or by what lies at a place further on."""
    stream.seek(max(0, size - 8))
    if stream.read(8) == _TABLE_END:
        return "tf-index"
    return "hdf5" if is_hdf5(stream, size) else "unknown"


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and (length <= size or head[9:10] in b'"}')


def _is_native(head: bytes) -> bool:
    if head.startswith(_NATIVE):
        return True
    if head.startswith(b"MZ"):  # a program for Windows says where its real header is
        at = int.from_bytes(head[60:64], "little")
        if 64 <= at <= len(head) - 4:
            return head[at : at + 2] in (b"PE", b"NE", b"LE", b"LX")
        return len(head) >= 64 and (at < 1 << 16 if at else b"\x00" in head[:28]) and int.from_bytes(head[2:4], "little") <= 512
    version = int.from_bytes(head[:2], "little") if head[2:4] == b"\r\n" and len(head) > 16 else 0
    code = any(head[at : at + 1] in (b"\xe3", b"c") for at in (8, 12, 16))  # a marshalled code object follows the header
    return (3390 <= version <= 3800 and head[4] < 4) or ((3000 <= version < 3390 or version in range(60000, 62300)) and code)


def _is_tar(head: bytes) -> bool:
    """Return whether the first block has the checksum of a tar header, with or without a magic, or at least the magic."""
    return bool(head[:1].strip(b"\0")) and (header_of(head[:512]) is not None or head[257:263] in (b"ustar\0", b"ustar "))


def _zip_kind(listed: list[Directory]) -> str:
    names = [e.text for d in listed[:1] for e in d.entries[:20_000]]
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
    weights = "metadata.json" in names or any(n.endswith(".weights.h5") for n in names)
    return "keras" if "config.json" in names and weights else "zip"


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
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") and _is_text(head[: len(head) & ~1].decode("utf-16", "replace")):
        return "text"
    if any(b < 32 and b not in b"\t\n\r\f\x1b\x08" for b in head):
        return _protobuf_kind(head)
    text = head.decode("utf-8", "ignore")
    if len(text.encode()) < len(head) - 4:  # numbers of any kind have control characters; text of any encoding has none
        return _protobuf_kind(head) or ("text" if len(head) >= _SHORTEST_TEXT else None)
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith("#!"):
        return "python" if "python" in start.split("\n", 1)[0] else "shell"
    if start[:15].lower().startswith(("<!doctype html", "<html", "<script")):
        return "html"
    if start[:1] in ("{", "[") and (size > len(head) or _parses(text)):
        return "json"
    return "text"


def _is_text(text: str) -> bool:
    """Return whether nearly all characters are such as text has."""
    odd = sum(c == "\ufffd" or (c < " " and c not in "\t\n\r\f") for c in text)
    return odd <= 1 and bool(text.strip("\ufeff"))


def _parses(text: str) -> bool:
    try:
        json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return False
    return True


def _protobuf_kind(head: bytes) -> str | None:
    if _is_sentencepiece(head):
        return "sentencepiece"
    return "protobuf" if _is_protobuf(head) else None


def _is_sentencepiece(head: bytes) -> bool:
    """Return whether the first fields are pieces of a SentencePiece model: text, score, perhaps a type, and nothing else.

    Source:
        sentencepiece_model.proto, messages ModelProto and SentencePiece.
    """
    place, pieces = 0, 0
    while place + 2 < len(head) and pieces < 20:
        length = head[place + 1]
        piece = head[place + 2 : place + 2 + length]
        if head[place] != 0x0A or length > 127 or piece[:1] != b"\x0a" or len(piece) < 2:
            break
        text, rest = piece[2 : 2 + piece[1]], piece[2 + piece[1] :]
        if len(text) != piece[1] or rest[:1] not in (b"\x15", b"\x18", b""):
            break
        pieces, place = pieces + 1, place + 2 + length
    return pieces >= 3


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
