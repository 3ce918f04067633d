"""Our reading of GGUF against the writer of the format's own package, and against bytes that lie."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.context import Limits
from scanners._formats.tensors.ggml_types import scales, tensor_types
from scanners._formats.tensors.gguf import Gguf, GgufArray, read_gguf
from tests.builders_gguf import gguf


def read(content: bytes, limits: Limits | None = None) -> Gguf:
    return read_gguf(io.BytesIO(content), len(content), limits or Limits())


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("alignment", [None, 8, 64, 4096])
def test_what_the_package_writes_is_accepted(tmp_path: Path, big: bool, alignment: int | None) -> None:
    package = pytest.importorskip("gguf")
    path = tmp_path / "a.gguf"
    writer = package.GGUFWriter(path, "llama", endianess=package.GGUFEndian.BIG if big else package.GGUFEndian.LITTLE)
    if alignment:
        writer.add_custom_alignment(alignment)
    writer.add_type("adapter")
    for kind, value in (("uint8", 200), ("int8", -3), ("uint16", 60_000), ("int16", -9), ("uint32", 1 << 31), ("int32", -1)):
        getattr(writer, f"add_{kind}")(f"x.{kind}", value)
    writer.add_uint64("x.uint64", 1 << 63)
    writer.add_int64("x.int64", -(1 << 62))
    writer.add_float32("x.float32", 0.5)
    writer.add_float64("x.float64", 0.1)
    writer.add_bool("x.bool", True)
    writer.add_string("tokenizer.chat_template", "{{ é }}")
    writer.add_array("tokenizer.ggml.tokens", [f"t{k}" for k in range(20_000)])
    writer.add_array("x.scores", [0.5, 1.5])
    writer.add_array("x.nested", [[1, 2], [3]])
    for k, number in enumerate((numpy.float32, numpy.float16, numpy.float64, numpy.int8, numpy.int16, numpy.int32, numpy.int64)):
        writer.add_tensor(f"t{k}", numpy.ones((2, 3 + k), number))
    for code, (name, block, width) in tensor_types().items():
        if name in package.GGMLQuantizationType.__members__ and block > 1:
            writer.add_tensor(f"q{code}", numpy.zeros((2, width), numpy.uint8), raw_dtype=package.GGMLQuantizationType(code))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = read(path.read_bytes())
    assert (found.problems, found.gap) == ((), "")
    assert (found.big_endian, found.alignment, found.version) == (big, alignment or 32, 3)
    assert found.text("tokenizer.chat_template") == "{{ é }}"
    assert [found.metadata[f"x.{k}"] for k in ("uint8", "int8", "uint64", "int64", "float64", "bool")] == [
        200, -3, 1 << 63, -(1 << 62), 0.1, True,
    ]  # fmt: skip
    tokens, nested = found.metadata["tokenizer.ggml.tokens"], found.metadata["x.nested"]
    assert isinstance(tokens, GgufArray)
    assert list(tokens.strings())[-1] == "t19999"
    assert isinstance(nested, GgufArray)
    assert [list(v.values()) for v in nested.values() if isinstance(v, GgufArray)] == [[1, 2], [3]]
    theirs = {t.name: (int(t.n_bytes), int(t.data_offset)) for t in package.GGUFReader(path).tensors}
    assert {t.name: (t.end - t.start, found.data_start + t.start) for t in found.tensors} == theirs


def test_every_type_has_the_package_s_sizes() -> None:
    package = pytest.importorskip("gguf")
    ours = {name: (block, width) for name, block, width in tensor_types().values()}
    theirs = {kind.name: sizes for kind, sizes in package.GGML_QUANT_SIZES.items()}
    assert {name: ours.get(name) for name in theirs} == theirs
    assert all(at + 2 <= width for width, places in scales().values() for at in places)


@pytest.mark.parametrize("claim", [2**31, 2**60, 2**63, 2**64 - 1])
@pytest.mark.parametrize("kind", ["u8", "f64", "str", "arr"])
def test_nothing_is_allocated_by_a_claim(claim: int, kind: str) -> None:
    whole = gguf([["a", "arr", kind, []]])
    at = whole.index(b"a") + 1 + 4 + 4
    found = read(whole[:at] + struct.pack("<Q", claim) + whole[at + 8 :])
    assert {p.rule for p in found.problems} == {"tensor-header"}
    assert found.gap


def test_arrays_nested_too_deeply_end_the_walk() -> None:
    deep: list[object] = ["u8", [1]]
    for _ in range(6):
        deep = ["arr", [deep]]
    assert [p.message for p in read(gguf([["a", "arr", *deep]])).problems] == ["arrays nested deeper than 3"]


def test_metadata_above_the_limit_is_not_read_and_no_lie() -> None:
    content = gguf([["a", "str", "x" * 200_000]])
    found = read(content, Limits(header_bytes=100_000))
    assert (found.problems, "100,000" in found.gap) == ((), True)


def test_long_padding_holds_zeros() -> None:
    content = bytearray(gguf([["general.alignment", "u32", 4096]], [["a", 0, [8], 32]], align=4096))
    assert read(bytes(content)).problems == ()
    content[4096 + 100] = 1
    assert [p.rule for p in read(bytes(content)).problems] == ["tensor-offsets"]


@settings(database=None, deadline=None, max_examples=150)
@given(st.integers(0, 2**32))
def test_changed_bytes_are_survived(seed: int) -> None:
    choose = random.Random(seed)
    meta: list[list[object]] = [
        ["general.name", "str", "n"],
        ["a", "arr", "str", ["x", "yy"]],
        ["b", "f32", 1.0],
        ["c", "arr", "u16", [1, 2]],
    ]
    content = bytearray(gguf(meta, [["t", 0, [8, 2], 64], ["q", 8, [32], 34]], big=choose.random() < 0.5))
    for _ in range(choose.randrange(1, 6)):
        content[choose.randrange(4, len(content))] = choose.choice((0, 1, 7, 8, 9, 127, 255, choose.randrange(256)))
    if choose.random() < 0.3:
        del content[choose.randrange(len(content)) :]
    found = read(bytes(content))
    for value in found.metadata.values():
        if isinstance(value, GgufArray):
            assert sum(1 for _ in value.values()) == value.count


@settings(database=None, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_survived(content: bytes) -> None:
    read(content)
    read(b"GGUF\x03\0\0\0" + content)
