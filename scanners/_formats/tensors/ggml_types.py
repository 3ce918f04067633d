"""The tensor types of ggml, as ``tables/ggml_types.yaml`` lists them. Read by ``gguf`` and ``tensors.values``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from scanners._formats.tables import table


@cache
def tensor_types() -> Mapping[int, tuple[str, int, int]]:
    """Return name, elements and bytes of one block by number of a tensor's type."""
    return {int(code): (str(row[0]), int(row[1]), int(row[2])) for code, row in table("ggml_types").items()}


@cache
def scales() -> Mapping[str, tuple[int, tuple[int, ...]]]:
    """Return the bytes of a block and where half-precision scales lie in it, by name of a packed type that has them."""
    return {str(row[0]): (int(row[2]), tuple(row[3])) for row in table("ggml_types").values() if len(row) > 3}
