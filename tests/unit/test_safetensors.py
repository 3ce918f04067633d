"""Our reading of safetensors headers against the library's own: what it refuses we must name, what it writes we must accept."""

from __future__ import annotations

import json
import random
import struct
import tempfile
from math import prod
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from governance.context import Limits
from scanners._formats.tensors.safetensors import ELEMENT_BYTES, header_in

TYPES = ["float32", "float16", "int64", "uint8", "bool", "int8", "float64", "uint16"]


def read(content: bytes, limits: Limits | None = None) -> tuple[set[str], int]:
    """Return the rules of the problems, and how many tensors were read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        path.write_bytes(content)
        with path.open("rb") as stream:
            header = header_in(stream, len(content), limits or Limits())
    return {p.rule for p in header.problems}, len(header.tensors)


def library_accepts(content: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        path.write_bytes(content)
        try:
            with safe_open(path, "numpy") as opened:
                list(opened.keys())
        except (SafetensorError, OSError, ValueError):
            return False
    return True


def raw(header: object, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@settings(database=None, deadline=None, max_examples=50)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=12), st.tuples(st.sampled_from(TYPES), st.lists(st.integers(0, 4), max_size=3)), max_size=5
    )
)
def test_what_the_library_writes_is_accepted(tensors: dict[str, tuple[str, list[int]]]) -> None:
    tensors.pop("__metadata__", None)
    content = save({name: numpy.zeros(shape, kind) for name, (kind, shape) in tensors.items()}, {"format": "np"})
    assert read(content) == (set(), len(tensors))


@settings(database=None, deadline=None, max_examples=200)
@given(st.integers(0, 2**32))
def test_what_the_library_refuses_is_named(seed: int) -> None:
    choose = random.Random(seed)
    content = bytearray(save({"a": numpy.zeros((2, 3), "float32"), "b": numpy.ones(5, "int8")}, {"format": "np"}))
    for _ in range(choose.randrange(1, 4)):
        match choose.randrange(3):
            case 0:
                content[choose.randrange(len(content))] = choose.randrange(256)
            case 1:
                del content[choose.randrange(len(content)) :]
                content = content or bytearray(b"\0")
            case 2:
                content[choose.randrange(8, max(9, len(content))) : 9] = bytes([choose.randrange(32, 127)])
    rules, _ = read(bytes(content))
    assert rules or library_accepts(bytes(content))


NUMBERS = [
    "0",
    "1",
    "4",
    "8",
    "-1",
    "-0",
    "1.0",
    "1e1",
    "true",
    "null",
    '"4"',
    "NaN",
    "9223372036854775807",
    "18446744073709551616",
]


@settings(database=None, deadline=None, max_examples=300)
@given(st.integers(0, 2**32))
def test_what_the_library_refuses_of_a_changed_header_is_named(seed: int) -> None:
    choose = random.Random(seed)

    def number(honest: int) -> str:
        return choose.choice(NUMBERS) if choose.random() < 0.08 else str(honest)

    entries, place = [], 0
    for name in "abc"[: choose.randrange(4)]:
        shape = [choose.choice((0, 1, 4)) for _ in range(choose.randrange(3))]
        dtype, bits = choose.choice(
            (("U8", 8), ("F32", 32), ("F4", 4), ("F6_E2M3", 6), ("F8_E4M3FNUZ", 8), ("C64", 64), ("F99", 8))
        )
        end = place + prod(shape) * bits // 8
        parts = [
            f'"dtype":"{dtype}"',
            f'"shape":[{",".join(number(n) for n in shape)}]',
            f'"data_offsets":[{number(place)},{number(end)}]',
        ]
        choose.shuffle(parts)
        if choose.random() < 0.1:
            parts.append(choose.choice([*parts, '"more":[{}]', '"shape":[]']))
        if choose.random() < 0.05:
            parts.pop()
        entries.append(f'"{choose.choice((name, name, name, "a", chr(92) + "ud800", chr(92) + "u0000"))}":{{{",".join(parts)}}}')
        place = end
    if choose.random() < 0.3:
        entries.append('"__metadata__":' + choose.choice(("{}", '{"a":1}', "[]", "null", '{"a":""}', '{"a":"","a":""}')))
    choose.shuffle(entries)
    text = (
        choose.choice(("", "", "", "", " ", "\ufeff"))
        + "{"
        + ",".join(entries)
        + "}"
        + choose.choice(("", "", "  ", "\n", "\0", ","))
    )
    content = raw(text.encode(), b"\0" * max(0, place + choose.choice((0, 0, 0, 0, -1, 1))))
    rules, _ = read(content)
    assert rules or library_accepts(content)


@settings(database=None, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_survived(content: bytes) -> None:
    rules, _ = read(content)
    assert rules or library_accepts(content)


@pytest.mark.parametrize("claim", [0, 1, 100, 2**31, 10 * 2**30, 2**63, 2**64 - 1])
def test_nothing_is_allocated_by_a_claim(claim: int) -> None:
    assert read(struct.pack("<Q", claim) + b"{}")[0] == {"tensor-header"}


def test_a_header_above_the_limit_is_not_read() -> None:
    content = raw(b"{}" + b" " * 5_000, b"")
    assert read(content)[0] == set()
    assert read(content, Limits(header_bytes=4_096))[0] == {"tensor-header"}


def test_a_header_of_very_many_values_is_not_built() -> None:
    assert read(raw(b"{" + b'"a":[' + b"[]," * 3_100_000 + b"[]]}", b""))[0] == {"tensor-header"}


def test_a_deep_header_and_many_empty_tensors_are_named() -> None:
    assert "tensor-header" in read(raw(b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b""))[0]
    empty = {f"t{k}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for k in range(5_000)}
    assert read(raw(empty, b"")) == ({"tensor-header"}, 5_000)


@pytest.mark.parametrize("dtype", sorted(ELEMENT_BYTES))
def test_every_type_has_its_width(dtype: str) -> None:
    width = ELEMENT_BYTES[dtype]
    good = {"a": {"dtype": dtype, "shape": [3], "data_offsets": [0, 3 * width]}}
    assert read(raw(good, b"\0" * (3 * width)))[0] == set()
    assert read(raw(good, b"\0" * (3 * width - 1)))[0] == {"tensor-offsets"}
    assert library_accepts(raw(good, b"\0" * (3 * width)))
