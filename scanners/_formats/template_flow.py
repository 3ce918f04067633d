"""Where the words of a message flow inside a template: which branches and rewrites hang on them.

Read by ``scanners._formats.templates``. A branch on role, position, or the presence of tools is ordinary; a branch on
words inside message content is the shape of a backdoor that needs no weights.

Source:
    Backdoored chat templates, MITRE ATLAS AML.T0051 and AML.T0018; markers of the common families' own templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import nodes

_CONTENT = ("content", "text")
_TEXT_METHODS = (
    "startswith", "endswith", "find", "rfind", "index", "count", "split", "rsplit", "partition", "rpartition",
    "replace", "removeprefix", "removesuffix",
)  # fmt: skip
_TEXT_TESTS = ("in", "eq", "equalto", "sameas", "ne")
_TO_TEXT = ("string", "tojson", "join")
_MARKUP = re.compile(r"[<>\[\]|{}`]|\A\s*/")


def fold(node: nodes.Node, constants: dict[str, str]) -> str | None:
    """Return the text an expression always has, or None.

    Args:
        node: An expression.
        constants: Text of names that are set once.
    """
    match node:
        case nodes.Const(value=str(value)):
            return value
        case nodes.Const(value=int(value)) if not isinstance(value, bool) and abs(value) < 10**9:
            return str(value)
        case nodes.TemplateData(data=str(data)):
            return data
        case nodes.Name(name=name):
            return constants.get(name)
        case nodes.Concat():
            return _all([fold(n, constants) for n in node.nodes], "")
        case nodes.Add():
            return _all([fold(node.left, constants), fold(node.right, constants)], "")
        case nodes.Mul(left=left, right=nodes.Const(value=int(times))) if 0 <= times <= 1_000:
            text = fold(left, constants)
            return None if text is None else (text * times)[:10_000]
        case nodes.Mod(left=left, right=right):
            return _percent(left, right, constants)
        case nodes.Getitem(arg=nodes.Slice(start=None, stop=None, step=nodes.Neg(node=nodes.Const(value=1)))):
            text = fold(node.node, constants)
            return text[::-1] if text is not None else None
        case nodes.Filter() if node.node is not None:
            return _filtered(node.name, node.node, node.args, constants)
        case nodes.Call(node=nodes.Getattr(node=owner, attr=("join" | "replace" | "lower" | "upper" | "strip") as attr)):
            if attr == "join" and node.args:
                return _filtered("join", node.args[0], [owner], constants)
            return _filtered(attr, owner, node.args, constants)
        case _:
            return None


def _all(parts: list[str | None], glue: str) -> str | None:
    known = [p for p in parts if p is not None]
    return glue.join(known)[:10_000] if len(known) == len(parts) else None


def _percent(left: nodes.Node, right: nodes.Node, constants: dict[str, str]) -> str | None:
    pattern = fold(left, constants)
    values = [fold(n, constants) for n in (right.items if isinstance(right, nodes.Tuple | nodes.List) else [right])]
    if pattern is None or None in values:
        return None
    for value in values:
        shown = value or ""
        if "%c" in pattern and shown.isdigit() and int(shown) < 0x110000:
            pattern = pattern.replace("%c", chr(int(shown)), 1)
        else:
            pattern = re.sub(r"%[sd]", lambda _, shown=shown: shown, pattern, count=1)  # type: ignore[misc]
    return pattern[:10_000]


def _filtered(name: str, node: nodes.Node, args: list[nodes.Expr], constants: dict[str, str]) -> str | None:
    if name == "join":
        glue = fold(args[0], constants) if args else ""
        if isinstance(node, nodes.List | nodes.Tuple) and glue is not None:
            return _all([fold(n, constants) for n in node.items], glue)
        text = fold(node, constants)
        return glue.join(text)[:10_000] if text is not None and glue is not None else None
    text, given = fold(node, constants), [fold(a, constants) for a in args]
    if text is None or None in given:
        return None
    match name, given:
        case "replace", [str(old), str(new), *_]:
            return text.replace(old, new)[:10_000]
        case "reverse", _:
            return text[::-1]
        case "format", [*values]:
            return _percent(nodes.Const(text), nodes.Tuple([nodes.Const(v) for v in values], "load"), {})
        case ("lower" | "upper" | "trim" | "strip" | "string" | "safe" | "e") as plain, _:
            return {"lower": text.lower(), "upper": text.upper(), "trim": text.strip(), "strip": text.strip()}.get(plain, text)
        case _:
            return None


def set_constants(tree: nodes.Template) -> dict[str, str]:
    """Return the text of every name that is set to one constant, and nowhere to another."""
    found: dict[str, str | None] = {}
    for node in tree.find_all(nodes.Assign):
        if isinstance(node.target, nodes.Name):
            name = node.target.name
            text = fold(node.node, {k: v for k, v in found.items() if v is not None})
            found[name] = text if name not in found or found[name] == text else None
    for block in tree.find_all((nodes.AssignBlock, nodes.For, nodes.Macro)):
        for target in block.find_all(nodes.Name):
            if target.ctx in ("store", "param") and not isinstance(block, nodes.For | nodes.Macro):
                found[target.name] = None
    return {k: v for k, v in found.items() if v is not None}


def content_branches(tree: nodes.Template, constants: dict[str, str], markers: frozenset[str]) -> Iterator[tuple[int, str, bool]]:
    """Yield (line, what, certain) for everything that hangs on words inside message content.

    Args:
        tree: A template.
        constants: Text of names that are set once.
        markers: Words that are ordinary inside markup.
    """
    flow = _Flow(tree)
    for node in tree.find_all((nodes.Compare, nodes.Call, nodes.Test, nodes.Filter, nodes.Getitem)):
        for text in _words(node, flow, constants):
            if _marker(text, markers):
                continue
            certain = not _MARKUP.search(text)
            yield node.lineno, f"looks for {text[:60]!r} in message content", certain


def _words(node: nodes.Node, flow: _Flow, constants: dict[str, str]) -> Iterator[str]:
    """Yield the constant texts that message content is held against by one expression."""
    sides: list[nodes.Node] = []
    match node:
        case nodes.Compare():
            sides = [node.expr, *(o.expr for o in node.ops)]
        case nodes.Call(node=nodes.Getattr(node=owner, attr=attr)) if attr in _TEXT_METHODS:
            sides = [owner, *(node.args[:1] if attr == "replace" else node.args)]
        case nodes.Call(node=nodes.Getattr(node=owner, attr="get")) if any(flow.content(a) for a in node.args):
            sides = [node.args[0], *_keys(owner)]
        case nodes.Test() if node.name in _TEXT_TESTS:
            sides = [node.node, *(node.args or [])]
        case nodes.Filter(name="replace") if node.node is not None:
            sides = [node.node, *node.args[:1]]
        case nodes.Getitem(node=nodes.Dict()):
            sides = [node.arg, *_keys(node.node)]
        case _:
            return
    if not any(flow.content(s) for s in sides):
        return
    for side in sides:
        if flow.content(side):
            continue
        whole = fold(side, constants)
        texts = [whole] if whole is not None else [c.value for c in side.find_all(nodes.Const) if isinstance(c.value, str)]
        yield from texts


def _keys(node: nodes.Node) -> list[nodes.Node]:
    return [pair.key for pair in node.items] if isinstance(node, nodes.Dict) else [node]


def _marker(text: str, markers: frozenset[str]) -> bool:
    """Return whether a text is a control marker or holds no word."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    return not words or (bool(_MARKUP.search(text)) and set(words) <= markers)


class _Flow:
    """Which names hold messages and which hold message content; found by passing over the assignments until nothing is new."""

    def __init__(self, tree: nodes.Template) -> None:
        self._messages = {"messages"}
        self._texts: set[str] = set()
        before = -1
        while before != len(self._messages) + len(self._texts):
            before = len(self._messages) + len(self._texts)
            self._pass(tree)

    def _pass(self, tree: nodes.Template) -> None:
        macros = {m.name: m for m in tree.find_all(nodes.Macro)}
        for node in tree.find_all((nodes.Assign, nodes.For, nodes.Call)):
            match node:
                case nodes.Assign():
                    self._note(node.target, node.node)
                case nodes.For():
                    self._note(node.target, node.iter)
                case nodes.Call(node=nodes.Name(name=name)) if name in macros:
                    for parameter, argument in zip(macros[name].args, node.args, strict=False):
                        self._note(parameter, argument)
                case _:
                    pass

    def _note(self, target: nodes.Node, value: nodes.Node) -> None:
        name = (
            target.name
            if isinstance(target, nodes.Name)
            else f"{target.name}.{target.attr}"
            if isinstance(target, nodes.NSRef)
            else ""
        )
        if self.content(value):
            self._texts.add(name)
        elif self._holds_messages(value):
            self._messages.add(name)

    def content(self, node: nodes.Node) -> bool:
        """Return whether an expression is text of a message, or made from it."""
        match node:
            case nodes.Name(name=name):
                return name in self._texts
            case nodes.Getattr(node=nodes.Name(name=owner), attr=attr) if f"{owner}.{attr}" in self._texts:
                return True
            case nodes.Getattr(attr=attr):
                return attr in _CONTENT
            case nodes.Getitem(arg=nodes.Const(value=str(key))):
                return key in _CONTENT
            case nodes.Getitem():
                return self.content(node.node)
            case nodes.Call(node=nodes.Getattr(attr="get"), args=[nodes.Const(value=str(key)), *_]):
                return key in _CONTENT
            case nodes.Call(node=nodes.Getattr(node=owner)):
                return self.content(owner)
            case nodes.Filter() if node.node is not None:
                if node.name in _TO_TEXT and self._holds_messages(node.node):
                    return True
                attributes = [a.value for a in (*node.args, *(k.value for k in node.kwargs)) if isinstance(a, nodes.Const)]
                return (node.name not in ("length", "count") and self.content(node.node)) or (
                    node.name == "map" and bool(set(_CONTENT) & set(attributes))
                )
            case nodes.Add() | nodes.Mod():
                return self.content(node.left) or self.content(node.right)
            case nodes.Concat():
                return any(self.content(n) for n in node.nodes)
            case nodes.CondExpr():
                return self.content(node.expr1) or (node.expr2 is not None and self.content(node.expr2))
            case nodes.Or() | nodes.And():
                return self.content(node.left) or self.content(node.right)
            case _:
                return False

    def _holds_messages(self, node: nodes.Node) -> bool:
        match node:
            case nodes.Name(name=name):
                return name in self._messages
            case nodes.Getattr(node=nodes.Name(name=owner), attr=attr):
                return f"{owner}.{attr}" in self._messages
            case nodes.Getitem() | nodes.Filter() if node.node is not None:
                key = node.arg if isinstance(node, nodes.Getitem) else None
                return not (isinstance(key, nodes.Const) and isinstance(key.value, str)) and self._holds_messages(node.node)
            case nodes.CondExpr():
                return self._holds_messages(node.expr1)
            case _:
                return False
