"""What filters, methods and functions of a template give, and what their arguments reach for; read by ``templates.flow``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jinja2 import nodes

from scanners._formats.tables import table
from scanners._formats.templates.folding import HUGE, filtered, joined, method
from scanners._formats.templates.reading import FLOWING, Expressions
from scanners._formats.templates.values import (
    ANY,
    MOST_ITEMS,
    UNKNOWN,
    Constant,
    Map,
    Seq,
    Unknown,
    Value,
    all_marks,
    constant,
    either,
    items_of,
    shown_text,
)  # fmt: skip
from scanners._formats.templates.words import compared, rewritten

_TABLE: dict[str, str] = table("templates")
_BY_ATTRIBUTE, _METHODS, _SEARCHES, _SHAPES = (
    frozenset(_TABLE[key].split()) for key in ("by-attribute", "methods", "searches", "shapes")
)
_FORMAT_ACCESS = re.compile(r"\{[^{}]{0,200}[.\[]\s{0,9}_|\{[^{}]{0,200}__")


class Calls(Expressions):
    """A reading that knows what filters and calls give."""

    def filter_chain(self, node: nodes.Filter, given: Value | None) -> Value:
        """Return what a filter gives; ``given`` stands for the body of a block."""
        if node.node is not None:
            given = self.filter_chain(node.node, given) if isinstance(node.node, nodes.Filter) else self.value(node.node)
        value = given if given is not None else ANY
        args = [self.value(a) for a in node.args]
        named = {str(k.key): self.value(k.value) for k in node.kwargs}
        return self._filter(node.name, value, args, named, node.lineno)

    def _filter(self, name: str, value: Value, args: Sequence[Value], named: dict[str, Value], line: int) -> Value:
        inner = all_marks(value)
        if name == "attr":
            key = args[0] if args else ANY
            if not key.known:
                self.note("unknown", "an attribute named at run time", line)
            return self.member(value, key, line, by_item=False)
        if name in _BY_ATTRIBUTE:
            made = self._by_attribute(name, value, args, named, line)
            if made is not None:
                return made
        if name in ("items", "dictsort") and not value.known:
            return self._method("items", value, (), {}, line)
        if name in ("length", "count", "wordcount"):
            counted = {"count"} if value.has("messages") else {"length"} if value.has("content") else set()
            only = filtered("length", value, (), {}) if name != "wordcount" else ANY
            return Value(only.known, only.open, frozenset(counted))
        if name == "replace" and value.has("content") and args:
            self.told(rewritten(args[0], args[1] if len(args) > 1 else ANY), line)
        if name in ("default", "d") and args:
            return either([value, *args[:1]])
        if name in ("string", "tojson", "join", "format", "pprint", "list", "urlencode", "dictsort", "items"):
            value = self.text_of(value) if name not in ("list", "items", "dictsort") else value
        marks = value.marks | (
            inner & FLOWING if name in ("join", "string", "tojson", "format", "first", "last", "pprint") else frozenset()
        )
        if name in ("first", "last", "random", "min", "max"):
            each = self.element(value)
            marks = each.marks | (value.marks - {"messages", "content", "built"} if value.known else frozenset())
        if name in ("batch", "slice") and value.has("messages"):
            marks |= {"messages"}
        if name == "groupby" and value.has("messages"):
            return Value(marks=frozenset({"messages", "groups"}))
        if name in ("trim", "lower", "upper", "replace", "title", "capitalize", "escape", "e", "safe") and value.has("content"):
            marks |= {"text"}
        marks |= frozenset(m for a in args for m in a.marks & FLOWING)
        constants = [a.only for a in args]
        known = [c for c in constants if not isinstance(c, Unknown)]
        others = {k: v.only for k, v in named.items()}
        plain = {k: v for k, v in others.items() if not isinstance(v, Unknown)}
        if len(known) == len(constants) and len(plain) == len(others) and value.known:
            found = either(filtered(name, constant(k), known, plain) for k in value.known)
            return Value(found.known, found.open or value.open, marks | found.marks)
        built = name in ("join", "replace", "format", "reverse") and not value.has("content")
        return Value(marks=marks | ({"built"} if built else set()))

    def _by_attribute(self, name: str, value: Value, args: Sequence[Value], named: dict[str, Value], line: int) -> Value | None:
        each = self.element(value)
        items = items_of(value)
        key = named.get("attribute")
        if name in ("groupby", "selectattr", "rejectattr") and key is None:
            key = args[0] if args else ANY
        if key is not None:
            if not key.known and not isinstance(key.only, int):
                self.note("unknown", f"an attribute named at run time, for the filter {name!r}", line)
            reached = self.member(each, key, line, by_item=False)
            if name == "groupby" and reached.has("content"):
                self.note("content", "groups messages by what they say", line, "shape")
            if name in ("selectattr", "rejectattr"):
                test = next(iter(args[1].texts), "") if len(args) > 1 else ""
                self.test(test, reached, args[2:], line)
                return Value(marks=value.marks)
            return Value(marks=reached.marks | {"text"} if reached.has("content") else reached.marks) if name == "map" else None
        if name == "map":
            inner = next(iter(args[0].texts), "") if args else ""
            if inner in ("attr", ""):
                self.note("unknown", "a filter named at run time" if not inner else "filter 'attr', by way of map", line)
            made = [self._filter(inner, i, args[1:], named, line) for i in (items or ())[:MOST_ITEMS]] if inner else []
            if items is not None and inner:
                return constant(Seq(tuple(made)), value.marks)
            return Value(marks=self._filter(inner, each, args[1:], named, line).marks if inner else each.marks)
        if name in ("select", "reject"):
            test = next(iter(args[0].texts), "") if args else ""
            self.test(test, each, args[1:], line)
            if items is not None and not args:
                return constant(Seq(tuple(i for i in items if bool(i.only) == (name == "select"))), value.marks)
            return Value(known=value.known, open=True, marks=value.marks)
        return None

    def call_macro(self, macro: nodes.Macro, args: Sequence[Value], named: dict[str, Value], line: int) -> Value:
        """Return what a macro writes; the reading of statements knows."""
        raise NotImplementedError

    def call(self, node: nodes.Call) -> Value:
        """Return what a call gives."""
        args = [self.value(a) for a in node.args]
        named = {str(k.key): self.value(k.value) for k in node.kwargs}
        for extra in (node.dyn_args, node.dyn_kwargs):
            if extra is not None:
                args.append(self.value(extra))
        match node.node:
            case nodes.Name(name=name) if name in self.macros:
                return self.call_macro(self.macros[name], args, named, node.lineno)
            case nodes.Name(name="caller"):
                return self.caller
            case nodes.Name(name="namespace"):
                return constant(Map(tuple((constant(k), v) for k, v in named.items())), {"namespace"})
            case nodes.Name(name="dict"):
                return constant(Map(tuple((constant(k), v) for k, v in named.items())), {m for a in args for m in a.marks})
            case nodes.Name(name="range"):
                return self._range(args, node.lineno)
            case nodes.Name(name="strftime_now"):
                return Value(marks=frozenset({"date"}))
            case nodes.Getattr(node=owner, attr=attr):
                called = self.value(owner)
                if attr.startswith("_") or attr not in _METHODS or any(m.startswith(("leaky:", "global:")) for m in called.marks):
                    self.member(called, constant(attr), node.lineno, by_item=False)
                return self._method(attr, called, args, named, node.lineno)
            case _:
                called = self.value(node.node)
                if any(m.startswith("leaky:") for m in called.marks):
                    return Value(marks=called.marks)
                return Value(marks=frozenset(m for a in args for m in a.marks) - {"built"})

    def _range(self, args: Sequence[Value], line: int) -> Value:
        if any(a.has("content", "length") and not a.has("count") and a.has("built") for a in args):
            self.note("cost", "a range as long as a message says", line)
        numbers = [n for a in args for n in a.known if isinstance(n, int)]
        size = max(map(abs, numbers), default=1)
        if size > HUGE:
            self.note("cost", f"a range of {size:,}", line)
        if len(numbers) == len(args) and all(not a.open and len(a.known) == 1 for a in args) and size <= MOST_ITEMS and args:
            try:
                return constant(Seq(tuple(constant(n) for n in range(*numbers[:3]))))
            except (ValueError, TypeError):
                return ANY
        return Value(marks=frozenset({f"size:{size}"}) | {m for a in args for m in a.marks & {"count", "length"}})

    def _method(self, name: str, owner: Value, args: Sequence[Value], named: dict[str, Value], line: int) -> Value:
        if name in ("format", "format_map"):
            self._format(owner, args, line)
        if owner.has("content") or any(a.has("content") for a in args):
            if name == "replace" and args:
                self.told(rewritten(args[0], args[1] if len(args) > 1 else ANY), line)
            elif name in _SHAPES and name.startswith("is"):
                self.note("content", f"asks for the shape of message content with {name!r}", line, "shape")
            elif name in _SEARCHES:
                marks = frozenset(m for a in args[:1] for m in self.against(owner, a, line))
                if name in ("find", "rfind", "index", "rindex", "count"):
                    return Value(marks=marks | {"length"})
                if name in ("startswith", "endswith"):
                    return Value(marks=marks)
                return Value(marks=marks | (owner.marks & FLOWING) | ({"content", "text"} if owner.has("content") else set()))
        if name == "get" and args and args[0].has("content") and any(isinstance(k, Map) for k in owner.known):
            return Value(marks=self.told(compared(args[0], owner), line) | all_marks(owner))
        if name == "get" and args:
            return either([self.member(owner, args[0], line, by_item=True), *args[1:2]])
        if name in ("items", "values", "keys") and not owner.known:
            extra = {"message": {"content", "field", "items"}, "tools": {"tools"}}
            return Value(marks=owner.marks | {m for mark, more in extra.items() if owner.has(mark) for m in more if name != "keys"})
        marks = owner.marks | {m for a in args for m in all_marks(a) & FLOWING}
        if name == "join" and args:
            marks |= self.text_of(args[0]).marks & FLOWING
        constants = [a.only for a in args]
        known: list[Constant] = [c for c in constants if not isinstance(c, Unknown)]
        if owner.known and len(known) == len(constants) and name not in ("format", "format_map"):
            found = either(
                joined(o, args[0]) if name == "join" and isinstance(o, str) and args else method(name, o, known)
                for o in owner.known
            )
            return Value(found.known, found.open or owner.open, marks | found.marks)
        if name == "format" and owner.only is not UNKNOWN:
            return self._formatted(str(shown_text(owner.known[0]) or ""), args, named).marked(*marks)
        text = {"text"} if owner.has("content") else set()
        return Value(
            marks=marks | text | ({"built"} if name in ("join", "replace", "format") and not owner.has("content") else set())
        )

    def _format(self, owner: Value, args: Sequence[Value], line: int) -> None:
        for text in owner.texts:
            if _FORMAT_ACCESS.search(text):
                self.note("escape", f"formats with {text[:60]!r}", line)
            if re.search(r"\{[^{}]*:[^{}]*\d{6,}", text):
                self.note("cost", f"formats with {text[:60]!r}", line)
            if re.search(r"\{[^{}]*\{", text):
                self.note("unknown", "a format that is itself formatted", line)
        if not owner.texts or owner.open:
            self.note("unknown", "a format that is not constant", line)

    @staticmethod
    def _formatted(pattern: str, args: Sequence[Value], named: dict[str, Value]) -> Value:
        parts, place = [], 0
        for number, match in enumerate(re.finditer(r"\{\{|\}\}|\{(\w*)(?:![rsa])?\}", pattern)):
            if match[0] in ("{{", "}}"):
                return Value(marks=frozenset({"built"}))
            key = match[1]
            index = int(key) if key.isdigit() else number
            value = named.get(key) if key and not key.isdigit() else args[index] if index < len(args) else None
            parts += [constant(pattern[place : match.start()]), value or ANY]
            place = match.end()
        return joined("", constant(Seq((*parts, constant(pattern[place:])))))
