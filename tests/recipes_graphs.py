"""Writers of graph formats for ``tests.recipes``: protocol buffers, HDF5 and msgpack, from plain values."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence

import h5py
import numpy as np

Cook = Callable[[object], bytes]


def protobuf(fields: Sequence[Sequence[object]], cook: Cook) -> bytes:
    """Return a message from pairs of field number and value: a number, text, a list of pairs (a message), or a recipe.

    A float is written in four bytes.
    """
    out = b""
    for number, value in fields:
        tag = int(str(number)) << 3
        match value:
            case int():
                out += varint(tag) + varint(value)
            case float():
                out += varint(tag | 5) + struct.pack("<f", value)
            case list():
                out += _sized(tag, protobuf(value, cook))
            case _:
                out += _sized(tag, cook(value))
    return out


def _sized(tag: int, data: bytes) -> bytes:
    return varint(tag | 2) + varint(len(data)) + data


def varint(number: int) -> bytes:
    """Return a number as protocol buffers write it."""
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def hdf5(parts: Mapping[str, Mapping[str, object]], cook: Cook, user_block: int = 0) -> bytes:
    """Return an HDF5 file.

    Args:
        parts: ``attributes`` by name (a recipe), ``arrays`` by name (how many numbers), ``links`` and ``soft`` by name (where
            they lead), ``external`` and ``virtual`` by name (the file that holds their numbers), ``opaque``, ``bytes`` and
            ``lengthy`` (of variable length) by name (a recipe).
        cook: Makes the bytes of a recipe.
        user_block: Bytes before the file proper.
    """
    out = io.BytesIO()
    with h5py.File(out, "w", userblock_size=user_block) as file:
        for name, recipe in parts.get("attributes", {}).items():
            data = cook(recipe)
            file.attrs[name] = np.void(data) if data[:1] == b"\x80" else data.decode()
        for name, count in parts.get("arrays", {}).items():
            file.create_dataset(name, data=np.zeros(int(str(count)), "f4"), compression="gzip")
        for name, target in parts.get("links", {}).items():
            file[name] = h5py.ExternalLink(str(target), "/x")
        for name, target in parts.get("soft", {}).items():
            file[name] = h5py.SoftLink(str(target))
        for name, target in parts.get("external", {}).items():
            file.create_dataset(name, shape=(4,), dtype="f4", external=[(str(target), 0, 16)])
        for name, target in parts.get("virtual", {}).items():
            layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
            layout[:] = h5py.VirtualSource(str(target), "x", shape=(4,))
            file.create_virtual_dataset(name, layout)
        for name, recipe in parts.get("opaque", {}).items():
            file[name] = np.void(cook(recipe))
        for name, recipe in parts.get("bytes", {}).items():
            file.create_dataset(name, data=np.frombuffer(cook(recipe), "u1"))
        for name, recipe in parts.get("lengthy", {}).items():
            made = file.create_dataset(name, (1,), dtype=h5py.vlen_dtype(np.uint8))
            made[0] = np.frombuffer(cook(recipe), "u1")
    return out.getvalue()


def msgpack(value: object, cook: Cook) -> bytes:
    """Return a msgpack document; ``{ext: [number, recipe]}`` is an extension."""
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return b"\xd2" + struct.pack(">i", value)
        case float():
            return b"\xcb" + struct.pack(">d", value)
        case str():
            data = value.encode()
            return b"\xd9" + bytes([len(data)]) + data if len(data) > 31 else bytes([0xA0 | len(data)]) + data
        case list():
            return b"\xdc" + struct.pack(">H", len(value)) + b"".join(msgpack(v, cook) for v in value)
        case {"ext": [int(number), recipe]}:
            data = cook(recipe)
            return b"\xc9" + struct.pack(">I", len(data)) + bytes([number & 255]) + data
        case dict():
            head = bytes([0x80 | len(value)]) if len(value) < 16 else b"\xde" + struct.pack(">H", len(value))
            return head + b"".join(msgpack(str(k), cook) + msgpack(v, cook) for k, v in value.items())
        case _:
            data = cook(value)
            return b"\xc6" + struct.pack(">I", len(data)) + data


def tflite(names: Sequence[str]) -> bytes:
    """Return a TensorFlow Lite model with nothing but custom operator codes."""
    model = bytearray(struct.pack("<I", 20) + b"TFL3" + struct.pack("<HHHH", 8, 12, 4, 8) + b"\0" * 4)
    model += struct.pack("<iII", 12, 3, 4)  # the root table at 20: its layout lies 12 before, a version, where the vector is
    vector = len(model)
    model += struct.pack("<I", len(names)) + b"\0" * (4 * len(names))
    for index, name in enumerate(names):
        layout = len(model)
        model += struct.pack("<HHHH", 8, 8, 0, 4)
        place = len(model)
        model[vector + 4 + 4 * index : vector + 8 + 4 * index] = struct.pack("<I", place - (vector + 4 + 4 * index))
        model += struct.pack("<iI", place - layout, 4) + struct.pack("<I", len(name)) + name.encode() + b"\0"
    return bytes(model)
