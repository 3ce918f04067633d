"""Follows a template without rendering it: which names it reaches for, what its output hangs on, how much work it makes.

Read by ``scanners._formats.templates.review``. Both ways of every branch are walked, loops over constants are walked element by
element and others twice, macros at each call; what is left open stays open and keeps the marks of what it is made from.

Source:
    Jinja 3.1 template designer documentation, scoping and namespaces; MITRE ATLAS AML.T0051 and AML.T0018.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jinja2 import nodes

from scanners._formats.templates.calls import Calls
from scanners._formats.templates.folding import TooMuch
from scanners._formats.templates.values import ANY, MOST_TEXT, Map, Seq, Value, constant, either, items_of, shown_text
from scanners._formats.templates.words import is_absence, writes_prose

#: The most one loop over constants, or several inside each other, may do.
_MOST_ROUNDS = 1_000_000
_UNROLLED = 48


class Flow(Calls):
    """One reading of one template; ``notes`` holds what was seen."""

    def run(self, tree: nodes.Template) -> None:
        """Walk a template; a reading that takes too many steps ends with a note."""
        try:
            self._body(tree.body)
            for name, macro in list(self.macros.items()):
                if name not in self.called:
                    self.call_macro(macro, [], {}, macro.lineno)
        except TooMuch as reason:
            self.note("cost", f"{reason}, so that not everything was followed", tree.lineno)

    def _body(self, statements: Iterable[nodes.Node]) -> Value:
        out = [self._statement(s) for s in statements]
        return self._text(out)

    @staticmethod
    def _text(parts: Sequence[Value]) -> Value:
        marks = frozenset(m for p in parts for m in p.marks)
        if len(parts) == 1:
            return parts[0]
        known = [shown_text(p.known[0]) if len(p.known) == 1 and not p.open else None for p in parts]
        texts = [k for k in known if k is not None]
        if len(texts) == len(parts) and sum(map(len, texts)) <= MOST_TEXT:
            return constant("".join(texts), marks)
        return Value(marks=marks | {"built"})

    def _statement(self, node: nodes.Node) -> Value:
        self.step()
        nothing = constant("")
        match node:
            case nodes.Output():
                return self._text([self.text_of(self.value(n)) for n in node.nodes])
            case nodes.If():
                return self._if(node)
            case nodes.For():
                return self._for(node)
            case nodes.Assign():
                self._doubling(node)
                self.assign(node.target, self.value(node.node))
            case nodes.AssignBlock():
                made = self._body(node.body)
                self.assign(node.target, made if node.filter is None else self.filter_chain(node.filter, made))
            case nodes.Macro():
                self.macros[node.name] = node
                self.names[node.name] = Value(marks=frozenset({"macro"}))
            case nodes.CallBlock():
                inner = self._scoped(node.body, {a.name: ANY for a in node.args})
                before = self.caller
                self.caller = inner
                made = self.value(node.call)
                self.caller = before
                return made.marked(*inner.marks)
            case nodes.FilterBlock():
                return self.filter_chain(node.filter, self._body(node.body))
            case nodes.With():
                values = [self.value(v) for v in node.values]
                return self._scoped(node.body, {}, list(zip(node.targets, values, strict=False)))
            case nodes.ExprStmt():
                self.value(node.node)
            case nodes.Expr():
                return self.value(node)
            case nodes.Scope() | nodes.Block() | nodes.ScopedEvalContextModifier():
                return self._body(node.body)
            case _:
                for child in node.iter_child_nodes():
                    self._statement(child)
                return ANY
        return nothing

    def _scoped(self, body: Sequence[nodes.Node], given: dict[str, Value], pairs: Iterable[tuple[nodes.Node, Value]] = ()) -> Value:
        outer = self.names
        self.names = {**outer, **given}
        for target, value in pairs:
            self.assign(target, value)
        made = self._body(body)
        self.names = outer
        return made

    def _if(self, node: nodes.If) -> Value:
        test = self.value(node.test)
        ordinary = [] if is_absence(node.test) else node.body
        if writes_prose([*ordinary, *node.elif_, *node.else_]):
            self.promote(test)
        names, heap = dict(self.names), dict(self.heap)
        self.guards += 1
        first = self._body(node.body)
        taken_names, taken_heap = self.names, self.heap
        self.names, self.heap = names, heap
        other = self._body([*node.elif_, *node.else_])
        self.guards -= 1
        self.names, self.heap = _merged(taken_names, self.names), _merged(taken_heap, self.heap)
        return either([first, other])

    def _for(self, node: nodes.For) -> Value:
        over = self.value(node.iter)
        items = items_of(over)
        count = self.sizes_of(over) if items is None else len(items)
        self.rounds *= max(1, count)
        if self.rounds > _MOST_ROUNDS:
            self.note("cost", f"loops inside each other go round {self.rounds:,} times", node.lineno)
        each = list(items[:_UNROLLED]) if items is not None else [self.element(over)] * 2
        whole = items is not None and len(items) <= _UNROLLED and node.test is None
        names, outer_loop, made = self.names, self.loop, list[Value]()
        self.loop = self.element(over), over
        self.guards += 1
        self.loops += 1
        for item in each:
            self.names = dict(names)
            heap = dict(self.heap)
            self.assign(node.target, item)
            if node.test is not None:
                test = self.value(node.test)
                if writes_prose(node.body):
                    self.promote(test)
            made.append(self._body(node.body))
            if not whole:
                self.heap = _merged(heap, self.heap)
        self.loops -= 1
        self.guards -= 1
        self.names, self.loop = names, outer_loop
        self.rounds //= max(1, count)
        if node.else_:
            made.append(self._body(node.else_))
        if whole:
            return self._text(made) if made else constant("")
        return Value(marks=frozenset(m for v in made for m in v.marks))

    def _doubling(self, node: nodes.Assign) -> None:
        """Note a text or list that grows by itself in a loop."""
        if not self.loops or not isinstance(node.target, nodes.Name | nodes.NSRef):
            return
        wanted = (node.target.name, getattr(node.target, "attr", None))
        if not isinstance(node.node, nodes.Concat | nodes.Add | nodes.Mul):
            return
        uses = 0
        for inner in node.node.find_all((nodes.Name, nodes.Getattr)):
            if isinstance(inner, nodes.Name):
                uses += wanted == (inner.name, None)
            elif isinstance(inner, nodes.Getattr) and isinstance(inner.node, nodes.Name):
                uses += wanted == (inner.node.name, inner.attr)
        if uses > 1:
            self.note("cost", f"{wanted[0]!r} doubles with every round of a loop", node.lineno)

    def assign(self, target: nodes.Node, value: Value) -> None:
        """Give a name, an attribute of a namespace, or several names their value."""
        match target:
            case nodes.Name(name=name):
                self.names[name] = value
                if value.has("namespace") and isinstance(value.only, Map):
                    self.heap.update({f"{name}.{k.only}": v for k, v in value.only.pairs})
            case nodes.NSRef(name=name, attr=attr):
                self.heap[f"{name}.{attr}"] = value
            case nodes.Tuple(items=targets):
                parts = value.only.items if isinstance(value.only, Seq) else ()
                if value.has("pair", "group") and len(targets) == 2:
                    whole = {"messages"} if value.has("group") else value.marks - {"pair"}
                    self.assign(targets[0], Value(marks=value.marks & {"tools"}))
                    self.assign(targets[1], Value(marks=frozenset(whole)))
                    return
                for place, inner in enumerate(targets):
                    self.assign(inner, parts[place] if place < len(parts) else self.element(value))
            case _:
                pass

    def call_macro(self, macro: nodes.Macro, args: Sequence[Value], named: dict[str, Value], line: int) -> Value:
        """Return what a macro writes for these arguments."""
        self.called.add(macro.name)
        marks = frozenset(m for v in (*args, *named.values()) for m in v.marks)
        if macro.name in self.running:
            if self.guards == self.running[macro.name]:
                self.note("cost", f"macro {macro.name!r} calls itself without an end", line)
            return Value(marks=marks)
        if len(self.running) > 12:
            return Value(marks=marks)
        defaults = [self.value(d) for d in macro.defaults]
        given: dict[str, Value] = {}
        for place, parameter in enumerate(macro.args):
            fallback = place - (len(macro.args) - len(defaults))
            value = named.get(parameter.name)
            if value is None and place < len(args):
                value = args[place]
            given[parameter.name] = value or (defaults[fallback] if fallback >= 0 else ANY)
        given["varargs"] = Value(marks=marks)
        given["kwargs"] = Value(marks=marks)
        self.running[macro.name] = self.guards
        made = self._scoped(macro.body, given)
        del self.running[macro.name]
        return made


def _merged(first: dict[str, Value], second: dict[str, Value]) -> dict[str, Value]:
    """Return what names are after one of two ways was taken."""
    if first == second:
        return first
    return {
        name: first[name] if first.get(name) == second.get(name) else either([first.get(name, ANY), second.get(name, ANY)])
        for name in {**first, **second}
    }
