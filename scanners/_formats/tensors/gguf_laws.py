"""What the metadata of a GGUF file cannot truly say, whatever its bytes are. Read by ``gguf``.

Source:
    GGUF specification (docs/gguf.md of the ggml repository), "Standardized key-value pairs" and "split".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from governance.evidence import Severity
from scanners._formats.names import shown
from scanners._formats.tensors.spans import Problem

#: Numbers loaders divide by.
_DIVISORS = (".attention.head_count", ".attention.key_length", ".context_length", ".embedding_length")
_BROKEN = "\ufffd"


def unlikely(metadata: Mapping[str, object]) -> Iterator[Problem]:
    """Yield entries without a name, divisors that are zero, text that is no UTF-8 and parts that are none."""
    for key, value in metadata.items():
        name = f"{shown(key)[:60]!a}"
        if not key:
            yield _odd("a metadata entry has no name")
        elif value == 0 and not isinstance(value, bool) and key.endswith(_DIVISORS):
            yield _odd(f"{name} is 0, which loaders divide by")
        elif isinstance(value, str) and _BROKEN in value and not key.startswith("tokenizer."):
            yield _odd(f"the value of {name} is not UTF-8")
    number, parts = metadata.get("split.no"), metadata.get("split.count")
    if isinstance(number, int) and isinstance(parts, int) and number >= max(parts, 1):
        yield _odd(f"it is part {number} of {parts}, counted from 0")


def _odd(words: str) -> Problem:
    return Problem("tensor-header", Severity.MEDIUM, words)
