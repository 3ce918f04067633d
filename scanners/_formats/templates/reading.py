"""What each expression of a template can be, and what it is made from; the statements are in ``templates.flow``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jinja2 import nodes

from scanners._formats.tables import table
from scanners._formats.templates.folding import TooMuch, arithmetic, item, joined, sliced
from scanners._formats.templates.values import (
    ANY,
    MOST_ITEMS,
    UNKNOWN,
    Map,
    Seq,
    Unknown,
    Value,
    all_marks,
    constant,
    either,
    is_number,
    items_of,
)  # fmt: skip
from scanners._formats.templates.words import Grade, compared, gives_role, writes_prose

_TABLE: dict[str, str] = table("templates")
_LEAKY, _LOOP, _INTERNALS, _GLOBALS, _COMPARING = (
    frozenset(_TABLE[key].split()) for key in ("leaky", "loop", "internals", "globals", "comparing")
)
_ROOTS = {
    "messages": "messages", "conversation": "messages", "conversations": "messages", "message": "message", "tools": "tools",
    "documents": "messages", "functions": "tools", "builtin_tools": "tools", "date_string": "date", "current_date": "date",
    "date": "date", "todays_date": "date", "now": "date", "datetime": "date",
}  # fmt: skip
_TEXTS = ("prompt", "query", "question", "user_message", "user_prompt", "system_message", "system_prompt")
_ROOTS |= dict.fromkeys(_TEXTS, "content text")
_CONTENT = frozenset(["content", "text", "value", "reasoning_content", "reasoning", "thinking", "body", "prompt", "query"])
FLOWING = frozenset({"message", "messages", "content", "part", "role", "field", "tools", "count", "length", "date", "parttype"})
MOST_STEPS = 120_000


@dataclass(frozen=True)
class Note:
    """Something seen: ``kind`` is ``escape``, ``unknown``, ``content`` or ``cost``."""

    kind: str
    what: str
    line: int
    grade: Grade = "certain"


class Expressions:
    """Names, macros and notes of one reading, and the value of each expression."""

    def __init__(self) -> None:
        self.notes: dict[Note, None] = {}
        self.weak: list[Note] = []
        self.names: dict[str, Value] = {}
        self.heap: dict[str, Value] = {}
        self.macros: dict[str, nodes.Macro] = {}
        self.called: set[str] = set()
        self.running: dict[str, int] = {}
        self.loop: tuple[Value, Value] = (ANY, ANY)
        self.caller = ANY
        self.steps, self.guards, self.loops, self.rounds = 0, 0, 0, 1

    def note(self, kind: str, what: str, line: int, grade: Grade = "certain") -> None:
        """Keep something seen; weak things wait for what they decide."""
        self.notes[Note(kind, what, line, grade)] = None

    def step(self) -> None:
        """Count a step.

        Raises:
            TooMuch: The template is too long to follow.
        """
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise TooMuch("more steps than are followed")

    def promote(self, test: Value) -> None:
        """Tell the weak things a branch hangs on, because it decides whether prose is written."""
        for mark in test.marks:
            if mark.startswith("weak:"):
                note = self.weak[int(mark[5:])]
                self.note(note.kind, f"{note.what} to decide whether to write prose", note.line, "shape")

    def told(self, found: Iterator[tuple[str, Grade]], line: int) -> frozenset[str]:
        """Note what is remarkable, and return the marks of what is not yet."""
        marks = set()
        for what, grade in found:
            if grade == "weak":
                marks.add(f"weak:{len(self.weak)}")
                self.weak.append(Note("content", what, line, grade))
            else:
                self.note("content", what, line, grade)
        return frozenset(marks)

    def value(self, node: nodes.Node) -> Value:
        """Return what an expression can be."""
        self.step()
        try:
            return self._value(node)
        except TooMuch as reason:
            if self.steps > MOST_STEPS:
                raise
            self.note("cost", str(reason), node.lineno)
            return Value(marks=frozenset({"built"}))

    def _value(self, node: nodes.Node) -> Value:
        match node:
            case nodes.TemplateData(data=str(text)) | nodes.Const(value=str(text)):
                return constant(text)
            case nodes.Const(value=value):
                return constant(value) if isinstance(value, int | float) or value is None else ANY
            case nodes.Name(name=name):
                return self._name(name)
            case nodes.NSRef(name=name, attr=attr):
                return self.heap.get(f"{name}.{attr}", ANY)
            case nodes.List() | nodes.Tuple():
                return constant(Seq(tuple(self.value(n) for n in node.items[:MOST_ITEMS])))
            case nodes.Dict():
                return constant(Map(tuple((self.value(p.key), self.value(p.value)) for p in node.items[:MOST_ITEMS])))
            case nodes.Concat():
                return self._joined([self.text_of(self.value(n)) for n in node.nodes])
            case nodes.BinExpr() if not isinstance(node, nodes.And | nodes.Or):
                return self.binary(type(node).__name__, self.value(node.left), self.value(node.right), node.lineno)
            case nodes.And() | nodes.Or():
                both = [self.value(node.left), self.value(node.right)]
                return either(both)
            case nodes.Not():
                return Value(marks=frozenset(m for m in self.value(node.node).marks if m.startswith("weak:")))
            case nodes.Neg():
                only = self.value(node.node).only
                return constant(-only) if is_number(only) else ANY
            case nodes.Pos():
                return self.value(node.node)
            case nodes.Compare():
                return self._compare(node)
            case nodes.CondExpr():
                test = self.value(node.test)
                ways = [n for n in (node.expr1, node.expr2) if n is not None]
                if writes_prose(ways) or gives_role(ways):
                    self.promote(test)
                other = self.value(node.expr2) if node.expr2 is not None else constant("")
                return either([self.value(node.expr1), other])
            case nodes.Getattr():
                return self._attribute(node, node.attr)
            case nodes.Getitem():
                return self._item(node)
            case nodes.Test():
                return self.test(node.name, self.value(node.node), [self.value(a) for a in node.args or ()], node.lineno)
            case nodes.Filter():
                return self.filter_chain(node, None)
            case nodes.Call():
                return self.call(node)
            case _:
                for child in node.iter_child_nodes():
                    self.value(child)
                return ANY

    def _name(self, name: str) -> Value:
        if name in self.names:
            return self.names[name]
        if name in _LEAKY:
            return Value(marks=frozenset({f"leaky:{name}"}))
        if name == "loop":
            return Value(marks=frozenset({"loop"}))
        if name in _GLOBALS:
            return Value(marks=frozenset({f"global:{name}"}))
        if name.endswith("messages"):
            return Value(marks=frozenset({"messages"}))
        return Value(marks=frozenset(_ROOTS[name].split())) if name in _ROOTS else ANY

    def text_of(self, value: Value) -> Value:
        """Return a value as text; messages written out hold their content."""
        inner = all_marks(value)
        return (
            value.marked(*(inner & FLOWING), "content", "text") if not inner.isdisjoint({"messages", "message", "part"}) else value
        )

    def _joined(self, parts: Sequence[Value]) -> Value:
        made = [ANY if any(len(p.known) != 1 or p.open for p in parts) else joined("", constant(Seq(tuple(parts))))]
        marks = frozenset(m for p in parts for m in p.marks)
        choices = [p.known or (None,) for p in parts]
        if made[0].only is UNKNOWN and all(p.known for p in parts) and sum(len(c) > 1 for c in choices) == 1:
            at = next(i for i, c in enumerate(choices) if len(c) > 1)
            made = [joined("", constant(Seq((*parts[:at], constant(c), *parts[at + 1 :])))) for c in choices[at]]
        whole = either(made)
        return whole.marked(*marks, *(() if whole.known else ("built",)))

    def binary(self, name: str, left: Value, right: Value, line: int) -> Value:
        """Return the result of an operator, by Jinja's name for it."""
        marks = left.marks | right.marks
        if name == "Add" and (left.texts or right.texts):
            return self._joined([left, right])
        made = [arithmetic(name, a, b).marked(*marks) for a in left.known for b in right.known][:16]
        counted = name == "Mod" and not left.texts and left.has("count", "length")
        if counted and any(is_number(n) and n > 3 for n in right.known):
            self.note("content", "asks for the remainder of a number of messages or a length", line, "shape")
        if name == "Mod" and left.texts:
            marks = marks | all_marks(right) & FLOWING
            right = self.text_of(right)
        text = bool(left.texts or right.texts) or left.has("built") or right.has("built")
        is_open = left.open or right.open or not made or any(m.open for m in made)
        result = Value(either(made).known if made else (), open=is_open, marks=marks | right.marks)
        return result.marked("built") if text and not result.known else result

    def _compare(self, node: nodes.Compare) -> Value:
        values = [self.value(node.expr), *(self.value(o.expr) for o in node.ops)]
        marks: frozenset[str] = frozenset()
        for place, _ in enumerate(node.ops):
            marks |= self.against(values[place], values[place + 1], node.lineno)
        return Value(marks=marks)

    def against(self, left: Value, right: Value, line: int) -> frozenset[str]:
        """Note what a comparison asks for, and return the marks of what waits."""
        return self.told(compared(left, right), line) | self.told(compared(right, left), line)

    def test(self, name: str, value: Value, args: Sequence[Value], line: int) -> Value:
        """Return what a test gives, and note what it asks for."""
        if name in _COMPARING and args:
            return Value(marks=self.against(value, args[0], line))
        if name in ("lower", "upper") and value.has("content"):
            self.note("content", f"asks whether message content is {name}", line, "shape")
        if name == "divisibleby" and args:
            self.binary("Mod", value, args[0], line)
        return Value(marks=frozenset(m for m in value.marks if m.startswith("weak:")))

    # -- names inside values

    def _attribute(self, node: nodes.Getattr, name: str) -> Value:
        if isinstance(node.node, nodes.Name) and f"{node.node.name}.{name}" in self.heap:
            return self.heap[f"{node.node.name}.{name}"]
        return self.member(self.value(node.node), constant(name), node.lineno, by_item=False)

    def _item(self, node: nodes.Getitem) -> Value:
        owner = self.value(node.node)
        if isinstance(node.arg, nodes.Slice):
            bounds = [self.value(b).only if b is not None else None for b in (node.arg.start, node.arg.stop, node.arg.step)]
            known = [b for b in bounds if not isinstance(b, Unknown)]
            if len(known) == 3 and owner.known:
                return either(sliced(k, known[0], known[1], known[2]).marked(*owner.marks) for k in owner.known)
            return Value(marks=owner.marks)
        key = self.value(node.arg)
        if key.has("content") and any(isinstance(k, Map) for k in owner.known):
            marks = self.told(compared(key, owner), node.lineno)
            return Value(marks=marks | all_marks(owner))
        return self.member(owner, key, node.lineno, by_item=True)

    def member(self, owner: Value, key: Value, line: int, *, by_item: bool) -> Value:
        """Return an attribute or element, and note one that leads out of the template."""
        for text in key.texts:
            for part in text.split("."):
                if part.startswith("_") or part in _INTERNALS:
                    self.note("escape", f"reaches for {text[:60]!r}", line)
        leaky = sorted(m.partition(":")[2] for m in owner.marks if m.startswith("leaky:"))
        if leaky:
            self.note("escape", f"reaches into {leaky[0]!r}", line)
        if any(m.startswith("global:") for m in owner.marks) or owner.has("macro"):
            self.note("unknown", f"an attribute of a function, {(key.texts or ('?',))[0][:40]!r}", line)
        if not key.known and key.has("built"):
            self.note("unknown", "a name built at run time", line)
        if owner.has("loop"):
            return self._loop(key, line)
        found = [item(o, k) for o in owner.known for k in key.known][:16]
        folded = either(found) if found else ANY
        if (key.known and all(isinstance(k, int) for k in key.known)) or (not key.texts and owner.has("messages")):
            inner = Value(marks=frozenset({"messages"})) if owner.has("group") else self.element(owner)
            return Value(folded.known, folded.open, folded.marks | inner.marks)
        marks = self._reached(owner, key)
        return Value(folded.known, folded.open, folded.marks | marks)

    def _reached(self, owner: Value, key: Value) -> frozenset[str]:
        if owner.has("group"):
            return frozenset({"messages"})
        names = {t.lower() for t in key.texts}
        kept = frozenset(m for m in owner.marks if m.startswith(("weak:", "leaky:", "global:")))
        if owner.has("part"):
            return kept | ({"content", "text"} if names & _CONTENT else {"parttype"} if "type" in names else {"part"})
        if owner.has("message", "messages"):
            if "role" in names or "from" in names:
                return kept | {"role"}
            if names & _CONTENT:
                return kept | {"content"}
            if names & {"tool_calls", "tool_call", "function_call", "tools"}:
                return kept | {"tools"}
            return kept | ({"field"} if names else {"content", "field"})
        if owner.has("content") and not owner.has("text"):
            return self._reached(Value(marks=frozenset({"part"})), key) | kept
        return kept | (owner.marks & {"tools", "content", "text", "date", "field"})

    def _loop(self, key: Value, line: int) -> Value:
        for name in key.texts:
            if name not in _LOOP:
                self.note("unknown", f"attribute {name!r} of a loop", line)
            if name in ("previtem", "nextitem"):
                return self.loop[0]
        return Value(marks=frozenset({"count"} if self.loop[1].has("messages") else ()))

    def element(self, over: Value) -> Value:
        """Return what a loop over a value gives, each time."""
        items = items_of(over)
        if items:
            return either(items)
        marks = over.marks & {"tools", "text", "date", "field", "role", "parttype", "built"}
        if over.has("groups"):
            return Value(marks=marks | {"group"})
        if over.has("messages"):
            marks |= {"message"}
        if over.has("content"):
            marks |= {"content"} if over.has("text") else {"part"}
        if over.has("items"):
            marks |= (over.marks & {"content", "part", "message"}) | {"pair"}
        return Value(marks=marks)

    @staticmethod
    def sizes_of(over: Value) -> int:
        """Return how often a loop over an open value goes round, as far as its text says."""
        return max((int(m[5:]) for m in over.marks if m.startswith("size:")), default=1)

    def filter_chain(self, node: nodes.Filter, given: Value | None) -> Value:
        """Return what a filter gives; told by ``templates.calls``."""
        raise NotImplementedError

    def call(self, node: nodes.Call) -> Value:
        """Return what a call gives; told by ``templates.calls``."""
        raise NotImplementedError
