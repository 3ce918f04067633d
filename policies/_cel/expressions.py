"""The rule engine behind an interface, and its implementation with cel-expr-python.

Made by ``policies.loader`` when a document is compiled; read by ``policies.engine``. The one module that names the library;
another engine would fulfil ``RuleEngine`` and nothing else would change.

Source:
    Common Expression Language specification; cel-expr-python 0.1.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Literal, Protocol

from governance.errors import PrerequisiteError
from policies._cel.environment import EVIDENCE, LISTS, Facts, Types
from policies._cel.reads import Reach, reach
from policies._cel.tree import Node, decode
from policies._source import meant
from policies.document import RESERVED, Param

_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_FIELD = re.compile(r"undefined field '([^']*)' not found in struct 'curator\.(\w+)'")
_NAME = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '\((.*)\)'")
_SYNTAX = re.compile(r"(Syntax error: )(.*?)( expecting .*)?$")
_FUNCTIONS = ("all", "exists", "exists_one", "filter", "format", "has", "join", "map", "matches", "size", "startsWith", "endsWith")
Result = Literal["bool", "string"]


@dataclass(frozen=True)
class Unknown:
    """No answer, and why."""

    reason: str


@dataclass(frozen=True)
class CompileFault:
    """One thing wrong with an expression, at a character offset into it."""

    code: str
    message: str
    offset: int
    note: str = ""


class NotCompiledError(Exception):
    """An expression that cannot be used.

    Args:
        faults: What is wrong with it.
    """

    def __init__(self, faults: tuple[CompileFault, ...]) -> None:
        super().__init__("; ".join(f.message for f in faults))
        self.faults = faults


class Program(Protocol):
    """One compiled expression."""

    @property
    def reach(self) -> Reach:
        """What it reads."""

    def evaluate(self, facts: Data) -> bool | str | Unknown:
        """Return its value. Never raises on data."""


class RuleEngine(Protocol):
    """Compiles expressions of one policy and evaluates them."""

    @property
    def id(self) -> str:
        """The library's name."""

    @property
    def version(self) -> str:
        """Its version; part of every verdict."""

    def variable(self, name: str, expression: str) -> Program:
        """Compile a named expression and let later ones use it.

        Raises:
            NotCompiledError: It cannot be used.
        """

    def compile(self, expression: str, result: Result) -> Program:
        """Compile an expression.

        Raises:
            NotCompiledError: It is malformed, of another type, or names something unknown.
        """

    def bind(self, facts: Facts) -> Data:
        """Return facts in the engine's own form, variables evaluated."""

    def without(self, data: Data, cut: Cut) -> Data:
        """Return the data without what is cut out, variables evaluated again."""


@dataclass(frozen=True)
class Cut:
    """What is taken out of facts before one rule is asked.

    Args:
        variables: ``subject`` or ``intent``, whole.
        keys: ``(variable, key)`` of evidence, whole.
        elements: For lists, the indexes that stay.
    """

    variables: frozenset[str] = frozenset()
    keys: frozenset[tuple[str, str]] = frozenset()
    elements: Mapping[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.variables or self.keys or self.elements)


class Data:
    """Facts as the engine takes them.

    Args:
        values: By variable.
        activation: The same, converted once.
    """

    def __init__(self, values: Mapping[str, object], activation: object) -> None:
        self.values: dict[str, object] = dict(values)
        self.activation = activation


class CelEngine:
    """CEL by cel-expr-python (C++), statically typed.

    Args:
        params: Constants of the policy.

    Raises:
        PrerequisiteError: A library is not installed.
    """

    id = "cel-expr-python"

    def __init__(self, params: Mapping[str, Param]) -> None:
        try:
            from cel_expr_python import cel
            from cel_expr_python.ext import ext_strings

            self._types = Types(params)
        except ImportError as error:
            raise PrerequisiteError(
                f"policies cannot be judged: {error.name} is not installed",
                hint="pip install 'cel-expr-python>=0.1.3,<0.2' protobuf",
            ) from error
        self.version = version("cel-expr-python")
        self._cel, self._strings, kind = cel, ext_strings.ExtStrings(), cel.Type
        self._declared = {"now": kind.TIMESTAMP}
        for name, message in EVIDENCE.items():
            value = kind(f"curator.{message}")
            self._declared[name] = kind.Map(kind.STRING, kind.List(value) if name in LISTS else value)
        for name in ("subject", "intent", "params"):
            self._declared[name] = kind(f"curator.{name.capitalize()}")
        self._trees: dict[str, Node] = {}
        self._variables: dict[str, _CelProgram] = {}
        self._environment = self._new()

    def _new(self) -> Any:
        return self._cel.NewEnv(descriptor_pool=self._types.pool, variables=self._declared, extensions=[self._strings])

    def variable(self, name: str, expression: str) -> Program:
        """Compile a named expression and let later ones use it."""
        program, kind = self._compiled(expression)
        self._declared = {**self._declared, name: kind}
        self._environment = self._new()
        self._trees[name], self._variables[name] = program.tree, program
        return program

    def compile(self, expression: str, result: Result) -> Program:
        """Compile an expression to a bool or a string."""
        program, kind = self._compiled(expression)
        wanted = {"bool": self._cel.Type.BOOL, "string": self._cel.Type.STRING}[result]
        if kind != wanted:
            said = str(kind).lower().replace("wrapper(", "").rstrip(")")
            raise NotCompiledError((CompileFault("P102", f"the expression gives {said}, a {result} is needed", 0),))
        return program

    def bind(self, facts: Facts) -> Data:
        """Return facts as protobuf messages; a variable that fails stays unbound."""
        return self._with_variables(self._types.activation(facts))

    def without(self, data: Data, cut: Cut) -> Data:
        """Return the data without what is cut out; variables see the same gaps."""
        if not cut:
            return data
        values: dict[str, object] = {}
        for name, value in data.values.items():
            if name in cut.variables or name in self._variables:
                continue
            if isinstance(value, dict):
                value = {
                    key: [one[i] for i in cut.elements[name, key]] if (name, key) in cut.elements else one
                    for key, one in value.items()
                    if (name, key) not in cut.keys
                }
            values[name] = value
        return self._with_variables(values)

    def _with_variables(self, values: dict[str, object]) -> Data:
        data = Data(values, self._environment.Activation(values))
        for name, program in self._variables.items():
            value = program.raw(data)
            if not isinstance(value, Unknown):
                values = {**data.values, name: value}
                data = Data(values, self._environment.Activation(values))
        return data

    def _compiled(self, expression: str) -> tuple[_CelProgram, object]:
        try:
            compiled = self._environment.compile(expression)
        except RuntimeError as error:
            raise NotCompiledError(self._faults(str(error), expression)) from None
        try:
            tree = decode(compiled.serialize())
        except ValueError as error:
            raise NotCompiledError((CompileFault("P101", str(error), 0),)) from None
        program = _CelProgram(self._cel, compiled, tree, reach(tree, self._trees))
        return program, compiled.return_type()

    def _faults(self, said: str, expression: str) -> tuple[CompileFault, ...]:
        found = []
        lines = expression.split("\n")
        for line, column, message in _ERROR.findall(said):
            offset = sum(len(text) + 1 for text in lines[: int(line) - 1]) + int(column) - 1
            found.append(self._fault(message.removesuffix(" [INVALID_ARGUMENT]").strip(), offset, expression))
        return tuple(found) or (CompileFault("P101", " ".join(said.split()), 0),)

    def _fault(self, message: str, offset: int, expression: str) -> CompileFault:
        """Return one complaint of the library in words for people."""
        if match := _FIELD.search(message):
            field, owner = match.groups()
            known = self._types.fields.get(owner, {})
            at = offset + (expression[offset : offset + 1] == ".")
            return CompileFault("P103", f"{owner} has no field {field!r}{meant(field, known)}", at, "fields: " + " ".join(known))
        if match := _NAME.search(message):
            name = match.group(1)
            known_names = (*RESERVED, *self._variables, *_FUNCTIONS)
            at = max(expression.rfind(name, 0, offset + 1), 0) if not expression.startswith(name, offset) else offset
            return CompileFault("P104", f"{name!r} is not known here{meant(name, known_names)}", at)
        if match := _OVERLOAD.search(message):
            operator, kinds = match.group(1).strip("_@").replace("_", " "), re.sub(r"wrapper\((\w+)\)", r"\1", match.group(2))
            mixed = "double" in kinds and "int" in kinds.replace("point", "")
            return CompileFault(
                "P102", f"{operator} does not take ({kinds})", offset, "write 1.0, not 1, beside a double" if mixed else ""
            )
        if match := _SYNTAX.search(message):
            return CompileFault("P101", f"not CEL: {match.group(2)}", offset)
        return CompileFault("P102", message.replace("wrapper(", "(").replace("curator.", ""), offset)


@dataclass(frozen=True)
class _CelProgram:
    """One compiled expression."""

    cel: Any
    expression: Any
    tree: Node
    reach: Reach

    def raw(self, data: Data) -> object:
        """Return the value as the library gives it, or Unknown."""
        try:
            value = self.expression.eval(data.activation)
        except RuntimeError as error:
            return Unknown(_said(str(error)))
        if value.type() == self.cel.Type.ERROR:
            return Unknown(_said(str(value.value())))
        return value.value()

    def evaluate(self, facts: Data) -> bool | str | Unknown:
        """Return a bool or a string, or why there is none."""
        value = self.raw(facts)
        return value if isinstance(value, bool | str | Unknown) else Unknown(f"the result is a {type(value).__name__}")


def _said(text: str) -> str:
    """Return an evaluation error without the library's code in front."""
    return re.sub(r"^[A-Z_]+: ", "", " ".join(text.split()))
