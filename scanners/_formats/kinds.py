"""What a file is, by its content; its name is only compared with it.

Source:
    The formats' own specifications; magic numbers as in each format's description.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from scanners._formats.documents import is_lfs_pointer
from scanners._formats.pickles import walk

_HEAD = 4096
#: Kind → what it is in words.
KINDS = {
    "safetensors": "safetensors weights",
    "pickle": "a pickle",
    "torch-zip": "a PyTorch archive",
    "zip": "a zip archive",
    "tar": "a tar archive",
    "gzip": "gzip data",
    "compressed": "compressed data",
    "gguf": "GGUF weights",
    "hdf5": "HDF5 data",
    "numpy": "a numpy array",
    "onnx": "an ONNX graph",
    "lfs-pointer": "a Git LFS pointer",
    "native": "native code",
    "image": "an image",
    "media": "audio or video",
    "pdf": "a PDF",
    "json": "JSON",
    "text": "text",
    "empty": "empty",
    "unknown": "unknown content",
}

_MAGIC = (
    (b"GGUF", "gguf"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x93NUMPY", "numpy"),
    (b"\x7fELF", "native"),
    (b"MZ", "native"),
    (b"\xcf\xfa\xed\xfe", "native"),
    (b"\xce\xfa\xed\xfe", "native"),
    (b"\xca\xfe\xba\xbe", "native"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "compressed"),
    (b"\xfd7zXZ\x00", "compressed"),
    (b"\x28\xb5\x2f\xfd", "compressed"),
    (b"7z\xbc\xaf\x27\x1c", "compressed"),
    (b"\x04\x22\x4d\x18", "compressed"),
    (b"\x89PNG", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF8", "image"),
    (b"RIFF", "media"),
    (b"OggS", "media"),
    (b"ID3", "media"),
    (b"fLaC", "media"),
    (b"%PDF", "pdf"),
)

#: Suffix → kinds its content may honestly have.
_EXPECTED = {
    ".safetensors": {"safetensors"},
    ".json": {"json"},
    ".bin": {"pickle", "torch-zip", "safetensors"},
    ".pt": {"pickle", "torch-zip"},
    ".pth": {"pickle", "torch-zip"},
    ".ckpt": {"pickle", "torch-zip"},
    ".pkl": {"pickle"},
    ".gguf": {"gguf"},
    ".txt": {"text", "json"},
    ".md": {"text"},
    ".py": {"text"},
    ".yaml": {"text", "json"},
    ".yml": {"text", "json"},
    ".jinja": {"text"},
    ".png": {"image"},
    ".jpg": {"image"},
    ".jpeg": {"image"},
    ".npy": {"numpy"},
    ".npz": {"zip"},
    ".h5": {"hdf5"},
    ".zip": {"zip"},
}
_ALWAYS = {"empty", "lfs-pointer"}
#: Kinds that act when the right loader meets them.
ACTING = frozenset({"pickle", "torch-zip", "zip", "native", "tar", "gzip", "compressed"})


@dataclass(frozen=True)
class Kind:
    """What a file turned out to be.

    Attributes:
        id: A key of ``KINDS``.
        fits_name: Whether a file of this suffix may honestly hold it.
    """

    id: str
    fits_name: bool = True


def kind_of(path: Path) -> Kind:
    """Return the kind of a file; never raises on content.

    Args:
        path: An existing file.
    """
    found = _by_content(path)
    expected = _EXPECTED.get(path.suffix.lower())
    return Kind(found, expected is None or found in expected or found in _ALWAYS)


def _by_content(path: Path) -> str:
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
            stream.seek(257)
            tar = stream.read(5) == b"ustar"
    except OSError:
        return "unknown"
    if not head:
        return "empty"
    if is_lfs_pointer(head):
        return "lfs-pointer"
    if _is_safetensors(head, size):
        return "safetensors"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if tar:
        return "tar"
    if head.startswith(b"PK") or zipfile.is_zipfile(path):
        return "torch-zip" if _is_torch_zip(path) else "zip"
    if is_pickle(head):
        return "pickle"
    return _text_kind(head, path)


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and (length <= size or head[9:10] in b'"}')


def _is_torch_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(n.rsplit("/", 1)[-1] == "data.pkl" for n in archive.namelist()[:20_000])
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def is_pickle(head: bytes) -> bool:
    """Return whether bytes begin a pickle.

    Protocol 2 and later announce themselves; older ones are pickles if their opcodes make sense up to STOP or an import.

    Args:
        head: The first bytes of a file or member.
    """
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return True
    seen = walk(head, limit=_HEAD, first_only=True)
    imports = [i.name for i in seen.imports if i.name is not None]
    named = bool(imports) and all(part.isidentifier() for name in imports for part in name.split("."))
    acted = named and (seen.sound or bool(seen.sound_opcodes and seen.sound_opcodes > 3))
    return seen.opcodes >= 3 and (acted or (seen.sound and seen.pickles > 0 and not seen.imports))


def _text_kind(head: bytes, path: Path) -> str:
    if b"\x00" in head:
        return "unknown"
    text = head.decode("utf-8", "ignore")
    if len(text.encode()) < len(head) - 4:
        return "unknown"
    if text.lstrip("\ufeff \t\r\n")[:1] in ("{", "["):
        if path.suffix.lower() == ".json" or len(head) == _HEAD:
            return "json"
        try:
            json.loads(text)
        except ValueError:
            return "text"
        return "json"
    if path.suffix.lower() == ".json" and text.strip()[:1] in ('"', "t", "f", "n", *"-0123456789"):
        return "json"
    return "text"
