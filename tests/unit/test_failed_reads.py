"""Bytes that cannot be had are a gap, never a fault of the file."""

from __future__ import annotations

import io
from typing import BinaryIO

import pytest

from governance.context import Limits
from governance.errors import SubjectError
from scanners._formats.tensors import gguf, safetensors
from tests.builders import safetensors as written
from tests.builders_gguf import gguf as gguf_file


class _Short(io.BytesIO):
    """A file that ends before its size."""

    def read(self, size: int | None = -1) -> bytes:
        """Return nothing behind a place."""
        left = max(0, 40 - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


class _Failing(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        """Fail as a range that was refused."""
        raise SubjectError("the budget is used up")


def test_a_header_that_ends_early_is_a_gap() -> None:
    data = written({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4)
    header = safetensors.header_in(_Short(data), len(data), Limits())
    assert header.gap
    assert not header.problems
    assert not header.sound


def test_metadata_that_end_early_are_a_gap() -> None:
    data = gguf_file([["general.name", "str", "x" * 100]])
    read = gguf.read_gguf(_Short(data), len(data), Limits())
    assert read.gap
    assert not read.problems


@pytest.mark.parametrize("reader", [safetensors.header_in, gguf.read_gguf])
def test_a_refused_range_is_told_to_the_caller(reader: object) -> None:
    stream: BinaryIO = _Failing(b"x" * 100)
    with pytest.raises(SubjectError):
        reader(stream, 100, Limits())  # type: ignore[operator]


def test_long_headers_are_parsed_once() -> None:
    entries = {f"t{i}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]} for i in range(1_000)}
    data = written(entries, b"\0" * 4_000)
    first = safetensors.header_in(io.BytesIO(data), len(data), Limits())
    assert safetensors.header_in(io.BytesIO(data), len(data), Limits()) is first
    assert safetensors.header_in(io.BytesIO(data[:-4]), len(data) - 4, Limits()).problems
