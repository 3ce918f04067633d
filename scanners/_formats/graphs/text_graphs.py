"""Graphs of TensorFlow and ONNX written as text, which their loaders take as readily: operations and data files by name.

A pattern in linear time finds the settings that matter; the rest of the language is not read.

Source:
    Protocol Buffers, "Text Format Language Specification"; tensorflow saved_model.pbtxt; onnx.load (textproto, onnxtxt).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from governance.evidence import Severity
from scanners._formats.paths import escapes
from scanners._formats.tables import table
from scanners._formats.tree import Remark

_STRING = r"(?:\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
_SETTING = re.compile(rf"\b(op|op_type|domain|value|location)[ \t]*:[ \t\r\n]*({_STRING}(?:[ \t\r\n]+{_STRING}){{0,50}})")
_PIECE = re.compile(_STRING)
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_SHAPE = re.compile(r"^[ \t]*(?:node|graph|graph_def|meta_graphs|library|function)[ \t]*:?[ \t\r\n]{0,20}[{<]", re.MULTILINE)
_ACTING = ("python", "file", "network", "process")


def looks_like_one(text: str) -> bool:
    """Return whether text has the shape of a graph in the text format of protocol buffers."""
    return bool(_SHAPE.search(text)) and bool(_SETTING.search(text))


def read(text: str) -> Iterator[Remark]:
    """Yield what the graph does, once for each operation and path."""
    rows, said = table("graph_ops"), set[str]()
    external = "external_data" in text
    for match in _SETTING.finditer(text):
        key, value = match[1], _joined(match[2])
        if value in said:
            continue
        said.add(value)
        effect = next((e for e in _ACTING if value in rows["effects"][e]), None)
        if key == "op" and effect is not None:
            words = f"the operation {value[:80]!a} of its graph touches more than tensors ({effect})"
            yield Remark("graph-side-effect", Severity.HIGH, words, match.start())
        elif key in ("value", "location") and external and (why := escapes(value)):
            words = f"a tensor's data lies in {value[:120]!a}: {why}"
            yield Remark("external-data-path", Severity.HIGH, words, match.start())


def _joined(literals: str) -> str:
    """Return the text of adjacent literals, their escapes resolved."""
    return "".join(_ESCAPE.sub(_resolved, piece[1:-1]) for piece in _PIECE.findall(literals))


def _resolved(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "xu" and len(code) > 1:
        return chr(int(code[1:], 16))
    return chr(int(code, 8) & 255) if code[0] in "01234567" else code
