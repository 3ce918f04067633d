"""Pickles too long to be held: what the walk sees by pages is what it sees in memory. Array files of every spelling."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from governance.context import Limits
from scanners._formats.archives.members import Budget, Reading
from scanners._formats.archives.readers import read_container
from scanners._formats.pickles.arguments import READERS
from scanners._formats.pickles.pages import Paged
from scanners._formats.pickles.review import review
from scanners._formats.pickles.stack import LongText

_CALL = b"crunpy\nrun_path\n(Vx\ntR."


def _paged(data: bytes) -> Paged:
    return Paged(io.BytesIO(data), len(data))


def _opcode(code: bytes, value: bytes) -> bytes:
    return code + struct.pack("<I", len(value)) + value


@pytest.mark.parametrize("size", [10, 300_000, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_pages_show_what_memory_shows(size: int) -> None:
    data = (
        b"\x80\x03}"
        + _opcode(b"X", b"w")
        + _opcode(b"B", b"\x01" * size)
        + b"s0"
        + _opcode(b"X", "é".encode() * size)
        + b"0"
        + _CALL
    )
    whole, paged = (review(d, limit=1_000, by_product=False) for d in (data, _paged(data)))
    assert whole == paged
    assert [r.rule for r in paged.remarks] == ["pickle-import"]


def test_a_long_constant_that_acts_is_kept() -> None:
    inner = b"\x80\x02" + b"N0" * 1_000_000 + _CALL
    for data in (_opcode(b"B", inner), _opcode(b"X", inner.decode("latin-1").encode()) + b"0" + _opcode(b"B", inner)):
        found = review(_paged(b"\x80\x03" + data + b"."), limit=1_000, by_product=False)
        assert any(constant == inner for _, constant in found.constants)


def test_a_constant_longer_than_is_read_is_a_gap_if_it_begins_like_a_pickle() -> None:
    for inner, gap in ((b"\x80\x02" + _opcode(b"B", bytes(33 << 20)) + _CALL, True), (bytes(34 << 20), False)):
        found = review(_paged(b"\x80\x03" + _opcode(b"B", inner) + b"."), limit=1_000, by_product=False)
        assert (found.gap is not None) is gap


def test_long_text_of_protocol_2_is_read_again() -> None:
    inner = b"\x80\x02" + b"N0" * 1_000_000 + _CALL
    data = b"\x80\x02c_codecs\nencode\n" + _opcode(b"X", inner.decode("latin-1").encode()) + b"Vlatin1\n\x86R."
    found = review(_paged(data), limit=1_000, by_product=False)
    assert any(constant == inner for _, constant in found.constants)
    assert isinstance(LongText("a", 3), str)


def test_every_place_of_a_paged_stream_is_its_own() -> None:
    data = bytes(np.random.default_rng(1).integers(0, 256, 1_000_000, dtype="u1"))
    paged = _paged(data)
    for at in (0, 1, 262_143, 262_144, 999_999):
        assert paged[at] == data[at]
        assert paged[at : at + 300_000] == data[at : at + 300_000]
        assert paged.find(b"\n", at) == data.find(b"\n", at)
    assert paged.find(b"\n", len(data)) == -1


def test_a_broken_escape_is_text() -> None:
    assert READERS["STRING"](b"'\\x'\n", 0) == ("x", 5)


@pytest.mark.parametrize(
    "descr",
    [
        "'object'",
        "'f4,O'",
        "'(2,)O'",
        "{'names': ['a'], 'formats': ['O']}",
        "[('a', 'object')]",
        "[('a', 'O', (2,))]",
        "('O', (2,))",
    ],
)
def test_an_array_of_objects_by_any_spelling_holds_a_pickle(descr: str) -> None:
    reading = _array(descr, "(1,)", _CALL)
    assert [m.size for m in reading.members] == [len(_CALL)]


@pytest.mark.parametrize("descr", ["'<f8'", "'|b1'", "'float64'", "'<U3'", "'<M8[ns]'", "[('a', '<f4'), ('b', '<i8', (2,))]"])
def test_an_array_of_numbers_holds_none(descr: str) -> None:
    assert not _array(descr, "(1,)", b"\0" * 64).members


def test_a_shape_that_cannot_be_is_a_gap() -> None:
    assert _array("'<f8'", "(-1,)", _CALL).gaps


def _array(descr: str, shape: str, body: bytes) -> Reading:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body
    return read_container(io.BytesIO(data), "numpy", len(data), Limits(), Budget())
