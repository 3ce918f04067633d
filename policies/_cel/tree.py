"""A checked CEL expression as a small tree of our own.

Made from what the engine serializes, read by ``policies._cel.reads``. The message types are built at run time from the few
fields we read; a kind of node we do not know is refused, never skipped.

Source:
    cel-spec, proto/cel/expr/checked.proto and syntax.proto (field numbers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Ident:
    """A name."""

    at: int
    name: str


@dataclass(frozen=True)
class Const:
    """A literal: text, a number, or neither."""

    at: int
    text: str | None = None
    number: float | None = None


@dataclass(frozen=True)
class Select:
    """``operand.field``, or ``has(operand.field)``."""

    at: int
    operand: Node
    field: str
    test: bool


@dataclass(frozen=True)
class Call:
    """A function or an operator; a method's target comes first among the arguments."""

    at: int
    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Group:
    """A list, map or message literal."""

    at: int
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Fold:
    """What ``all``, ``exists``, ``map`` and ``filter`` become."""

    at: int
    variables: tuple[str, ...]
    over: Node
    accumulator: str
    start: Node
    steps: tuple[Node, ...]


Node = Ident | Const | Select | Call | Group | Fold

# message → field → (number, type); a type in capitals is a message, * means repeated
_SCHEMA: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Any": {"type_url": (1, "string"), "value": (2, "bytes")},
    "Checked": {"source": (5, "Source"), "expr": (4, "Expr")},
    "Source": {"positions": (4, "Position*")},
    "Position": {"key": (1, "int64"), "value": (2, "int32")},
    "Expr": {
        "id": (2, "int64"), "const": (3, "Constant"), "ident": (4, "Identifier"), "select": (5, "Selection"),
        "call": (6, "Calling"),
        "list": (7, "Listing"), "struct": (8, "Struct"), "comprehension": (9, "Comprehension"),
    },
    "Constant": {"int": (3, "int64"), "double": (5, "double"), "string": (6, "string")},
    "Identifier": {"name": (1, "string")},
    "Selection": {"operand": (1, "Expr"), "field": (2, "string"), "test_only": (3, "bool")},
    "Calling": {"target": (1, "Expr"), "function": (2, "string"), "args": (3, "Expr*")},
    "Listing": {"elements": (1, "Expr*")},
    "Struct": {"entries": (2, "Entry*")},
    "Entry": {"map_key": (3, "Expr"), "value": (4, "Expr")},
    "Comprehension": {
        "iter_var": (1, "string"), "iter_range": (2, "Expr"), "accu_var": (3, "string"), "accu_init": (4, "Expr"),
        "loop_condition": (5, "Expr"), "loop_step": (6, "Expr"), "result": (7, "Expr"), "iter_var2": (8, "string"),
    },
}  # fmt: skip
_SCALARS = {"double": 1, "int64": 3, "int32": 5, "bool": 8, "string": 9, "bytes": 12}


def decode(serialized: bytes) -> Node:
    """Return the tree of a serialized checked expression; ``at`` is a character offset into its text.

    Args:
        serialized: ``cel.expr.CheckedExpr`` in a ``google.protobuf.Any``.

    Raises:
        ValueError: It holds something this reader does not know.
    """
    types = _types()
    envelope = types["Any"].FromString(serialized)
    if not envelope.type_url.endswith("/cel.expr.CheckedExpr"):
        raise ValueError(f"the rule engine returned {envelope.type_url!r} in place of a checked expression")
    checked = types["Checked"].FromString(envelope.value)
    return _node(checked.expr, {p.key: p.value for p in checked.source.positions})


def _node(expr: Any, positions: Mapping[int, int]) -> Node:
    at = positions.get(expr.id, 0)

    def sub(part: Any) -> Node:
        return _node(part, positions)

    if expr.HasField("const"):
        value = expr.const
        number = next((float(getattr(value, k)) for k in ("int", "double") if value.HasField(k)), None)
        return Const(at, value.string if value.HasField("string") else None, number)
    if expr.HasField("ident"):
        return Ident(at, expr.ident.name)
    if expr.HasField("select"):
        return Select(at, sub(expr.select.operand), expr.select.field, expr.select.test_only)
    if expr.HasField("call"):
        target = (sub(expr.call.target),) if expr.call.HasField("target") else ()
        return Call(at, expr.call.function, (*target, *(sub(a) for a in expr.call.args)))
    if expr.HasField("list"):
        return Group(at, tuple(sub(e) for e in expr.list.elements))
    if expr.HasField("struct"):
        entries = [(e.map_key, e.HasField("map_key")) for e in expr.struct.entries] + [(e.value, True) for e in expr.struct.entries]
        return Group(at, tuple(sub(part) for part, there in entries if there))
    if expr.HasField("comprehension"):
        c = expr.comprehension
        return Fold(
            at=at,
            variables=tuple(v for v in (c.iter_var, c.iter_var2) if v),
            over=sub(c.iter_range),
            accumulator=c.accu_var,
            start=sub(c.accu_init),
            steps=(sub(c.loop_condition), sub(c.loop_step), sub(c.result)),
        )
    raise ValueError("the expression holds a kind of node this version cannot follow")


@cache
def _types() -> Mapping[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="curator/tree.proto", package="tree", syntax="proto2")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            plain, label = kind.rstrip("*"), 3 if kind.endswith("*") else 1
            if plain in _SCALARS:
                message.field.add(name=field, number=number, type=_SCALARS[plain], label=label)
            else:
                message.field.add(name=field, number=number, type=11, type_name=f".tree.{plain}", label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tree.{name}")) for name in _SCHEMA}
