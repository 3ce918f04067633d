"""Real tiny files, clean and hostile, assembled as bytes from recipes in the case files. No payload is ever run.

A recipe is text, bytes in hexadecimal (``hex``), JSON (``json``), pickle opcodes by name (``pickle``), an archive of recipes
(``zip``, ``torch``, ``tar``), a compressed recipe (``gzip``, ``bz2``, ``xz``, ``zlib``), a safetensors file (``tensors`` or a
``header`` of the case's own), a ``gguf`` file (see ``builders_gguf``), an array file (``npy``), graph formats (``protobuf``,
``hdf5``, ``msgpack``, ``tflite``, see ``recipes_graphs``), a publisher's ``model_signature`` (see
``builders_signatures``), or a change to another recipe (``join``, ``cut``, ``repeat``,
``patch``).
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickletools
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence

from governance.context import RunContext
from governance.subject import Composition
from tests import builders_adapters, builders_gguf, builders_signatures, recipes_graphs

_OPCODES = {op.name: op for op in pickletools.opcodes}
_NUMBERS = {"uint1": "<B", "uint2": "<H", "int4": "<i", "uint4": "<I", "uint8": "<Q", "float8": ">d"}
_LENGTHS = {
    "string1": "<B", "string4": "<i", "bytes1": "<B", "bytes4": "<I", "bytes8": "<Q", "bytearray8": "<Q",
    "unicodestring1": "<B", "unicodestring4": "<I", "unicodestring8": "<Q", "long1": "<B", "long4": "<i",
}  # fmt: skip


def build(builder: str, args: Mapping[str, object], ctx: RunContext) -> Composition:
    """Return the composition a case asks for.

    Args:
        builder: ``adapter`` (files by path, see ``builders_adapters``) or ``files`` (recipes by path).
        args: ``adapter`` and ``base``; with ``files`` also ``refused``, pairs of name and reason.
        ctx: Holds the store.
    """
    adapter, base = _mapping(args.get("adapter")), args.get("base")
    parent = _mapping(base) if base is not None else None
    if builder == "files":
        adapter = {path: None if recipe is None else cook(recipe) for path, recipe in adapter.items()}
        parent = None if parent is None else {path: None if recipe is None else cook(recipe) for path, recipe in parent.items()}
    tag = args.get("base_license")
    made = builders_adapters.composition(adapter, parent, ctx, base_license=tag if isinstance(tag, str) else None)
    refused = args.get("refused")
    if isinstance(refused, list):
        pairs = tuple((str(name), str(reason)) for name, reason in refused)
        made = made.model_copy(update={"adapter": made.adapter.model_copy(update={"refused": pairs})})
    return made


def cook(recipe: object) -> bytes:
    """Return the bytes of a recipe."""
    match recipe:
        case bytes():
            return recipe
        case str():
            return recipe.encode("utf-8", "surrogatepass")
        case {"patch": inner, "at": int(at), "hex": str(digits)}:
            data = bytearray(cook(inner))
            place = at if at >= 0 else len(data) + at
            data[place : place + len(digits) // 2] = bytes.fromhex(digits)
            return bytes(data)
        case {"cut": int(end), "of": inner}:
            return cook(inner)[:end]
        case {"repeat": int(times), "of": inner}:
            return cook(inner) * times
        case {"zip": dict(members), **rest}:
            return zipped(members, compress=bool(rest.get("deflate")), comment=cook(rest.get("comment", "")))
        case {"torch": inner, **rest}:
            others = rest.get("with")
            return zipped({"archive/data.pkl": inner, "archive/version": "3\n", **(others if isinstance(others, dict) else {})})
        case {"header": header, **rest}:
            text = cook(header)
            claim = rest.get("claim")
            return struct.pack("<Q", claim if isinstance(claim, int) else len(text)) + text + cook(rest.get("data", ""))
        case dict() if len(recipe) == 1:
            kind, value = next(iter(recipe.items()))
            return _COOKS[kind](value)
        case _:
            return builders_adapters.safetensors(**recipe) if isinstance(recipe, dict) else json.dumps(recipe).encode()


def assemble(opcodes: Sequence[object]) -> bytes:
    """Return a pickle from opcodes: ``STOP``, ``GLOBAL os system``, or a pair of name and argument.

    Args:
        opcodes: In order; text after the name is the argument, a pair may carry any value.
    """
    out = b""
    for item in opcodes:
        name, argument = item if isinstance(item, list) else (item.split(" ", 1) if " " in str(item) else (item, None))
        out += opcode(str(name), argument)
    return out


def opcode(name: str, argument: object = None) -> bytes:
    """Return one opcode with its argument."""
    op = _OPCODES[name]
    code = op.code.encode("latin-1")
    if op.arg is None:
        return code
    kind = op.arg.name
    if kind in _NUMBERS:
        value = float(str(argument)) if kind == "float8" else int(str(argument), 0)
        return code + struct.pack(_NUMBERS[kind], value)
    data = argument if isinstance(argument, bytes) else cook(argument) if isinstance(argument, dict) else str(argument).encode()
    if kind in _LENGTHS:
        return code + struct.pack(_LENGTHS[kind], len(data)) + data
    if kind == "stringnl_noescape_pair":
        module, _, qualified = data.partition(b" ")
        return code + module + b"\n" + qualified + b"\n"
    return code + (repr(data.decode()).encode() if kind == "stringnl" else data) + b"\n"


def zipped(members: Mapping[str, object], *, compress: bool = False, comment: bytes = b"") -> bytes:
    """Return a zip archive; a name that ends in ``*`` is written again without the star, so that it occurs twice."""
    out = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.comment = comment
        for name, recipe in members.items():
            info = zipfile.ZipInfo(name.rstrip("*"), (2026, 1, 1, 0, 0, 0))
            info.compress_type = method
            archive.filelist = [*archive.filelist]
            archive.NameToInfo.pop(info.filename, None)  # what the library would warn of is what some cases are about
            archive.writestr(info, cook(recipe))
    return out.getvalue()


def tarred(members: Mapping[str, object]) -> bytes:
    """Return a tar archive; a recipe ``{link: target}`` is a symbolic link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, recipe in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(recipe, dict) and "link" in recipe:
                info.type, info.linkname = tarfile.SYMTYPE, str(recipe["link"])
                archive.addfile(info)
                continue
            data = cook(recipe)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def npy(value: object) -> bytes:
    """Return an array file: ``{object: recipe}`` holds the pickle of a recipe, a number that many float32 zeros."""
    inner = value["object"] if isinstance(value, dict) else None
    kind, body = ("|O", cook(inner)) if inner is not None else ("<f4", b"\x00\x00\x00\x00" * int(str(value)))
    count = 1 if inner is not None else int(str(value))
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({count},), }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def _mapping(value: object) -> dict[str, object]:
    return {str(k): v for k, v in value.items()} if isinstance(value, dict) else {}


_COOKS: Mapping[str, Callable[..., bytes]] = {
    "hex": bytes.fromhex,
    "json": lambda value: json.dumps(value).encode(),
    "pickle": assemble,
    "tar": tarred,
    "gzip": lambda inner: gzip.compress(cook(inner), mtime=0),
    "bz2": lambda inner: bz2.compress(cook(inner)),
    "xz": lambda inner: lzma.compress(cook(inner)),
    "lzma": lambda inner: lzma.compress(cook(inner), format=lzma.FORMAT_ALONE),
    "zlib": lambda inner: zlib.compress(cook(inner)),
    "npy": npy,
    "join": lambda parts: b"".join(map(cook, parts)),
    "tensors": builders_adapters.safetensors,
    "gguf": builders_gguf.cooked,
    "protobuf": lambda fields: recipes_graphs.protobuf(fields, cook),
    "hdf5": lambda parts: recipes_graphs.hdf5(parts, cook),
    "msgpack": lambda value: recipes_graphs.msgpack(value, cook),
    "tflite": recipes_graphs.tflite,
    "model_signature": lambda value: builders_signatures.cooked(value, cook),
}
