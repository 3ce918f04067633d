"""Readers of graphs: what honest writers make is quiet, what is broken ends, and no byte makes a reader fail."""

import base64
import io
import marshal
import random
from collections.abc import Callable
from typing import BinaryIO

import pytest

from governance.context import Limits
from scanners._formats.graphs import hdf5, keras, msgpack, onnx, tensorflow, tflite
from scanners._formats.graphs.kinds import is_map, recognise
from scanners._formats.graphs.protobuf import Wire, walk
from scanners._formats.kinds import kind_of_bytes
from tests.recipes import cook

LIMITS = Limits()
ONNX = cook({"protobuf": [[1, 8], [7, [[1, [[4, "Relu"]]], [5, [[8, "w"], [13, [[1, "location"], [2, "../x"]]]]]]]]})
GRAPH = cook({"protobuf": [[1, 1], [2, [[2, [[1, [[1, "n"], [2, "ReadFile"]]]]]]]]})
FLAX = cook({"msgpack": {"params": {"x": {"ext": [1, {"msgpack": [[2], "float32", "ab"]}]}}}})
LITE = cook({"tflite": ["Mine", "FlexReadFile"]})
HDF5 = cook({"hdf5": {"attributes": {"model_config": '{"class_name": "Lambda", "config": {}}'}, "links": {"x": "/opt/x"}}})
READERS: dict[str, tuple[bytes, Callable[[BinaryIO, int], object]]] = {
    "onnx": (ONNX, lambda s, n: onnx.read(s, n, LIMITS)),
    "tensorflow": (GRAPH, lambda s, n: tensorflow.read(s, n, LIMITS)),
    "msgpack": (FLAX, msgpack.read),
    "tflite": (LITE, tflite.read),
    "hdf5": (HDF5, lambda s, n: hdf5.read(s, n, LIMITS)),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_format_is_known_by_its_content(kind: str) -> None:
    assert kind_of_bytes(READERS[kind][0]) == kind


def test_an_hdf5_file_behind_a_block_of_its_user_is_one() -> None:
    assert kind_of_bytes(b"\0" * 512 + HDF5) == "hdf5"
    assert kind_of_bytes(b"\0" * 4096 + HDF5) == "hdf5"


@pytest.mark.parametrize("kind", READERS)
def test_no_damage_makes_a_reader_fail(kind: str) -> None:
    data, read = READERS[kind]
    chance = random.Random(7)
    for _ in range(60 if kind == "hdf5" else 400):
        broken = bytearray(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.5 else data)
        for _ in range(chance.randrange(4)):
            if broken:
                broken[chance.randrange(len(broken))] = chance.randrange(256)
        read(io.BytesIO(bytes(broken)), len(broken))
        kind_of_bytes(bytes(broken))


def test_messages_nested_without_end_are_walked_without_recursion() -> None:
    data = b"\x08\x01"
    for _ in range(300):
        data = cook({"protobuf": [[6, data]]})
        data = cook({"protobuf": [[1, [[5, data]]]]})
    wire = Wire(io.BytesIO(data), len(data))
    schema = {"graph": {1: "node"}, "node": {5: "attribute"}, "attribute": {6: "graph"}}
    assert 90 < len(list(walk(wire, "graph", schema))) < 200
    assert "deeper" in (wire.broken or "")


def test_many_fields_end_at_the_ceiling() -> None:
    wire = Wire(io.BytesIO(b"\x08\x01" * 5_000), 10_000, 1_000)
    assert len(list(wire.fields(0, 10_000))) == 1_000
    assert "more fields" in (wire.broken or "")


def test_unknown_fields_and_groups_hide_nothing() -> None:
    group = b"\x9b\x06\x08\x01\x9c\x06"  # field 99, wire types 3 and 4
    data = group + b"\xfa\x7f\x02xx" + ONNX
    assert recognise(io.BytesIO(data), len(data)) == ("onnx",)
    assert [r.rule for r in onnx.read(io.BytesIO(data), len(data), LIMITS).remarks] == ["external-data-path"]


@pytest.mark.parametrize(
    "text", ["\nA line, then another.\n", "plain", "[1, 2]", "\n\n# Title\n\nText of a card.\n" * 50, "\x08\x08\x08"]
)
def test_text_is_no_model(text: str) -> None:
    data = text.encode()
    assert recognise(io.BytesIO(data), len(data)) == ()
    assert not is_map(data)


def test_code_is_known_by_its_form_and_not_by_its_place() -> None:
    code = base64.b64encode(marshal.dumps(compile("x + 1", "f", "eval"))).decode()
    assert [r.rule for r in keras.review({"class_name": "Dense", "config": {"anything": [code, None, None]}})] == ["keras-lambda"]
    assert not keras.review({"class_name": "Dense", "config": {"anything": [base64.b64encode(b"c" * 300).decode()]}})


def test_a_deep_configuration_ends() -> None:
    value: object = {"class_name": "Lambda", "config": {}}
    for _ in range(50_000):
        value = {"class_name": "Sequential", "config": [value]}
    assert [r.rule for r in keras.review(value)] == ["keras-lambda"]


def test_links_in_a_circle_are_visited_once() -> None:
    h5py = pytest.importorskip("h5py")
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        group = file.create_group("a")
        group["again"] = file["/"]
        group["link"] = h5py.ExternalLink("../x", "/")
    seen = hdf5.read(io.BytesIO(out.getvalue()), len(out.getvalue()), LIMITS)
    assert len(seen.remarks) == 1
    assert not seen.gaps
