"""Hostile, honest and broken files, assembled as bytes. No payload is ever run to make one, and none may be."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from governance.context import RunContext
from governance.subject import Composition, Description, FileEntry, SourceKind, Subject

#: What every payload would say if it ran; it never does.
CANARY = "echo CANARY"


def composition(ctx: RunContext, files: Mapping[str, bytes], refused: tuple[tuple[str, str], ...] = ()) -> Composition:
    """Return an adapter of these files, in the store of the context."""
    entries = []
    for name, content in sorted(files.items()):
        sha256, sha512, size = ctx.store.take(io.BytesIO(content), limit=1 << 30)
        entries.append(FileEntry(path=name, size=size, sha256=sha256, sha512=sha512))
    subject = Subject(source=SourceKind.LOCAL, name="adapter", files=tuple(entries), refused=refused)
    ctx.store.materialize(subject)
    return Composition(adapter=subject, base_reason="none given", description=Description(kind="adapter", dialect="peft"))


def safetensors(header: object = None, data: bytes = b"", *, claim: int | None = None) -> bytes:
    """Return a safetensors file; ``claim`` is what it says of its header's length."""
    tensors = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}} if header is None else header
    text = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    return struct.pack("<Q", len(text) if claim is None else claim) + text + (data or b"\0" * 8)


def call(module: str, name: str, argument: str = CANARY, *, protocol: int = 2) -> bytes:
    """Return a pickle that would call ``module.name(argument)``."""
    begin = bytes([0x80, protocol]) if protocol >= 2 else b""
    if protocol >= 4:
        word = b"".join(b"\x8c" + bytes([len(w)]) + w.encode() for w in (module, name))
        return begin + word + b"\x93\x8c" + bytes([len(argument)]) + argument.encode() + b"\x85R."
    return begin + f"c{module}\n{name}\n".encode() + b"(V" + argument.encode() + b"\ntR."


def state_dict(*names: str) -> bytes:
    """Return an honest pickle that imports these names and builds nothing with them."""
    return b"\x80\x02" + b"".join(f"c{n.rpartition('.')[0]}\n{n.rpartition('.')[2]}\n".encode() + b"0" for n in names) + b"}."


def torch_zip(pickle: bytes, extra: Mapping[str, bytes] | None = None) -> bytes:
    """Return a PyTorch archive around a pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickle)
        archive.writestr("archive/version", "3\n")
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
    return out.getvalue()


def torch_legacy(fourth: bytes) -> bytes:
    """Return torch's old layout: magic number, protocol, system information, object, keys; it names no storage."""
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
    return magic + b"\x80\x02M\xe9\x03." + b"\x80\x02}." + fourth + b"\x80\x02]."


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """Return a tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def gzip_of(content: bytes) -> bytes:
    """Return gzip data."""
    return gzip.compress(content, mtime=0)


def flag_lie(archive: bytes) -> bytes:
    """Return a zip whose central directory says its first member is encrypted, which it is not."""
    at = archive.index(b"PK\x01\x02") + 8
    return archive[:at] + bytes([archive[at] | 1]) + archive[at + 1 :]


def folder(root: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a folder on disk."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root
