"""What an expression reads: every evidence key and field, also through variables, list elements and comprehensions.

Read by ``policies.engine``, which looks each of them up before it believes a *true*. Over-approximates: an alias of several
keys reads the field of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from policies._cel.environment import EVIDENCE
from policies._cel.tree import Call, Const, Fold, Group, Ident, Node, Select

PLAIN = ("subject", "intent", "params")


@dataclass(frozen=True, order=True)
class Read:
    """One thing an expression reads.

    Args:
        variable: ``findings``, ``subject`` and so on.
        key: Key of an evidence map; empty for ``subject`` and ``intent``.
        field: Field of the value or of its elements, dotted below ``subject.base``; empty for the key itself.
    """

    variable: str
    key: str
    field: str = ""

    def __str__(self) -> str:
        return f'{self.variable}["{self.key}"]' if self.variable in EVIDENCE else f"{self.variable}.{self.field}"


@dataclass(frozen=True)
class Literal:
    """A word a field is compared with."""

    reads: frozenset[Read]
    text: str
    at: int


@dataclass(frozen=True)
class Misuse:
    """A form that would let a gap go unseen."""

    at: int
    message: str
    code: str


@dataclass
class Reach:
    """Everything found in one expression.

    Args:
        reads: Keys and fields.
        guarded: Fields of ``subject`` and ``intent`` behind ``has()``.
        literals: Words compared with fields.
        keys: Evidence keys with their places.
        misuses: What is refused.
        constants: Literals, for trying the expression out.
    """

    reads: set[Read] = field(default_factory=set)
    guarded: set[Read] = field(default_factory=set)
    literals: list[Literal] = field(default_factory=list)
    keys: list[tuple[Read, int]] = field(default_factory=list)
    misuses: list[Misuse] = field(default_factory=list)
    constants: set[str | float] = field(default_factory=set)

    @property
    def evidence(self) -> frozenset[Read]:
        """The evidence keys read."""
        return frozenset(Read(r.variable, r.key) for r in self.reads if r.variable in EVIDENCE)


Roots = frozenset[Read]
_NOTHING: Roots = frozenset()


def reach(tree: Node, variables: Mapping[str, Node]) -> Reach:
    """Return what an expression reads.

    Args:
        tree: The checked expression.
        variables: Trees of the policy's variables; followed where they are used.
    """
    found = Reach()
    _Walker(found, variables).walk(tree, {})
    return found


@dataclass
class _Walker:
    found: Reach
    variables: Mapping[str, Node]

    def walk(self, node: Node, scope: Mapping[str, Roots]) -> Roots:
        """Note what a node reads and return which evidence or message its value stems from."""
        match node:
            case Const():
                self.found.constants.update(v for v in (node.text, node.number) if v is not None)
                return _NOTHING
            case Ident():
                return self._ident(node, scope)
            case Select():
                return self._select(node, scope)
            case Call():
                return self._call(node, scope)
            case Group():
                return self._union(node.parts, scope)
            case Fold():
                return self._fold(node, scope)

    def _union(self, nodes: Iterable[Node], scope: Mapping[str, Roots]) -> Roots:
        return _NOTHING.union(*(self.walk(n, scope) for n in nodes))

    def _ident(self, node: Ident, scope: Mapping[str, Roots]) -> Roots:
        if node.name.startswith("."):
            self._misuse(node.at, f"write {node.name[1:]} without a leading dot")
        if node.name in scope:
            return scope[node.name]
        if node.name in self.variables:
            return self.walk(self.variables[node.name], {})
        if node.name in EVIDENCE:
            self._misuse(node.at, f'{node.name} is read by a literal key only, such as {node.name}["…"]')
        return frozenset({Read(node.name, "")}) if node.name in PLAIN else _NOTHING

    def _key(self, variable: str, key: str, at: int) -> Roots:
        read = Read(variable, key)
        self.found.reads.add(read)
        self.found.keys.append((read, at))
        return frozenset({read})

    def _select(self, node: Select, scope: Mapping[str, Roots]) -> Roots:
        if isinstance(node.operand, Ident) and node.operand.name in EVIDENCE and node.operand.name not in scope:
            if node.test:
                self._misuse(node.at, "has() may not guard evidence: what is missing must stay visible", "P205")
            return self._key(node.operand.name, node.field, node.at)
        roots = self.walk(node.operand, scope)
        if node.test and any(r.variable in EVIDENCE for r in roots):
            self._misuse(node.at, "has() may not guard evidence: what is missing must stay visible", "P205")
        fields = frozenset(Read(r.variable, r.key, f"{r.field}.{node.field}" if r.field else node.field) for r in roots)
        if node.test:
            self.found.guarded.update(fields | {r for r in roots if r.field})
        else:
            self.found.reads.update(fields)
        return fields if all(r.variable not in EVIDENCE for r in roots) else roots

    def _call(self, node: Call, scope: Mapping[str, Roots]) -> Roots:
        if node.function == "_[_]" and isinstance(base := node.arguments[0], Ident) and base.name in EVIDENCE:
            index = node.arguments[1]
            if isinstance(index, Const) and index.text is not None and base.name not in scope:
                return self._key(base.name, index.text, index.at)
            if base.name not in scope:
                self._misuse(node.at, f"a key of {base.name} is written out, not computed")
                return _NOTHING
        self._literals(node, scope)
        return self._union(node.arguments, scope)

    def _literals(self, node: Call, scope: Mapping[str, Roots]) -> None:
        if node.function not in ("_==_", "_!=_", "@in", "_in_", "in"):
            return
        sides = [(n, o) for n, o in (node.arguments, node.arguments[::-1]) if isinstance(n, Select) and not n.test]
        for side, other in sides:
            probe = _Walker(Reach(), self.variables)
            probe.walk(side, scope)
            reads = frozenset(r for r in probe.found.reads if r.field.split(".")[-1] == side.field)
            words = other.parts if isinstance(other, Group) else (other,)
            for word in words:
                if isinstance(word, Const) and word.text is not None:
                    self.found.literals.append(Literal(reads, word.text, word.at))

    def _fold(self, node: Fold, scope: Mapping[str, Roots]) -> Roots:
        over = self.walk(node.over, scope)
        start = self.walk(node.start, scope)
        inner = {**scope, **dict.fromkeys(node.variables, over), node.accumulator: start | over}
        stepped = self._union(node.steps, inner)
        return self._union(node.steps, {**inner, node.accumulator: start | over | stepped})

    def _misuse(self, at: int, message: str, code: str = "P202") -> None:
        self.found.misuses.append(Misuse(at, message, code))
