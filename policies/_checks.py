"""What is refused at load, and the compiling that finds it.

Fields that are unknown or of a wrong type, expressions that do not compile, words no plug-in says, rules that pass without
evidence, a policy that cannot fail. Read by ``policies.loader``. Each fault has a code; ``docs/policies.md`` explains them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from policies._cel.environment import COMPONENT_TYPES
from policies._cel.expressions import CelEngine, CompileFault, NotCompiledError, Program, RuleEngine
from policies._cel.knockout import can_fail, cannot_fail, true_of_nothing
from policies._cel.reads import Read
from policies._source import Fault, Path, Source, Value, meant, nearest
from policies.document import CLOSED, ModelPolicy, PolicyRule, Vocabulary
from policies.engine import REQUIRED, CompiledRule

D = TypeVar("D", bound=BaseModel)


def validated(source: Source, raw: Value, kind: type[D]) -> D:
    """Return a document of a kind.

    Args:
        source: For places.
        raw: What it holds.
        kind: ``ModelPolicy`` or ``PolicyTest``.

    Raises:
        PolicyError: With every fault.
    """
    if not isinstance(raw, dict):
        raise source.error([Fault("P003", f"a {kind.__name__} document is needed here", source.place(()))])
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise source.error([_fault(source, kind, e) for e in _apart(kind, error.errors(include_url=False))]) from None


def _apart(kind: type[BaseModel], errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Return the errors without echoes: fields missing because they are misspelt, lists short of the items that failed."""
    misspelt = {
        (*e["loc"][:-1], near[0])
        for e in errors
        if e["type"] == "extra_forbidden" and (near := nearest(str(e["loc"][-1]), _fields(kind, e["loc"][:-1])))
    }
    inner = {e["loc"][:length] for e in errors for length in range(len(e["loc"]))}
    return [
        e
        for e in errors
        if not (e["type"] == "missing" and e["loc"] in misspelt) and not (e["type"] == "too_short" and e["loc"] in inner)
    ]


def _fault(source: Source, kind: type[BaseModel], error: ErrorDetails) -> Fault:
    """Return one complaint of the schema in words for people, at its place."""
    path: Path = tuple(error["loc"])
    while path and path not in source.values:  # a union adds its branches to the location
        shorter = path[:-1]
        if error["type"] == "missing" and shorter in source.values:
            break
        path = shorter
    name = str(path[-1]) if path else kind.__name__
    match error["type"]:
        case "extra_forbidden":
            fields = _fields(kind, path[:-1])
            return Fault("P002", f"unknown field {name!r}{meant(name, fields)}", source.place(path, key=True))
        case "missing":
            return Fault(
                "P003", f"the field {error['loc'][-1]!r} is missing", source.place(path[:-1] if path in source.values else path)
            )
        case "literal_error" | "enum":
            expected = str((error.get("ctx") or {}).get("expected", ""))
            near = meant(str(error["input"]), [w.strip(" '") for w in expected.replace(" or ", ",").split(",")])
            return Fault("P003", f"{name}: {error['input']!r} is not {expected}{near}", source.place(path))
        case "string_type":
            return Fault(
                "P003", f"{name}: text is needed, this reads as {_kind(error['input'])}; write it in quotes", source.place(path)
            )
        case "string_pattern_mismatch":
            pattern = (error.get("ctx") or {}).get("pattern", "")
            return Fault("P003", f"{name}: {error['input']!r} does not have the form {pattern}", source.place(path))
        case "too_short":
            return Fault("P003", f"{name}: at least one is needed", source.place(path))
        case _:
            message = error["msg"].removeprefix("Value error, ")
            return Fault("P003", f"{name}: {message[:1].lower()}{message[1:]}", source.place(path))


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a mapping", type(None): "nothing"}
    return names.get(type(value), type(value).__name__)


def _fields(kind: type[BaseModel], path: Path) -> list[str]:
    """Return the field names a document of a kind takes at a path."""
    schema = kind.model_json_schema(by_alias=True)
    definitions, here = schema.get("$defs", {}), schema
    for step in (*path, None):
        while "$ref" in here or "allOf" in here or "anyOf" in here:
            options = here.get("allOf") or here.get("anyOf") or [here]
            reference = next((o["$ref"] for o in options if "$ref" in o), None)
            if reference is None:
                break
            here = definitions[reference.rsplit("/", 1)[-1]]
        if step is None:
            break
        if isinstance(step, int):
            here = here.get("items", {})
        else:
            here = here.get("properties", {}).get(step) or here.get("additionalProperties") or {}
    return list(here.get("properties", {}))


@dataclass(frozen=True)
class _Site:
    """Where an expression stands."""

    source: Source
    path: Path
    owner: str
    text: str

    def fault(self, fault: CompileFault) -> Fault:
        """Return a fault of the expression at its place in the file."""
        start = self.source.place(self.path)
        inside = self.source.inside(start, fault.offset, self.text)
        note = fault.note
        if inside is None and fault.offset:
            note = f"at character {fault.offset + 1} of the expression. {note}".strip()
        return Fault(fault.code, f"{self.owner}: {fault.message}", inside or start, note)


def compiled(source: Source, document: ModelPolicy, vocabulary: Vocabulary) -> tuple[RuleEngine, tuple[CompiledRule, ...]]:
    """Return the engine and the rules of a policy, ready to be asked.

    Args:
        source: For places.
        document: As written.
        vocabulary: What plug-ins may say.

    Raises:
        PolicyError: With every fault.
    """
    faults = list(_names(source, document, vocabulary))
    engine = CelEngine(document.spec.params)
    for index, variable in enumerate(document.spec.variables):
        site = _Site(source, ("spec", "variables", index, "expression"), variable.name, variable.expression)
        _try(site, partial(engine.variable, variable.name, variable.expression), vocabulary, faults)
    rules = [
        rule
        for index, written in enumerate(document.spec.rules)
        if (rule := _rule(source, index, written, engine, vocabulary, faults)) is not None
    ]
    if not faults:
        faults += _without_evidence(source, document, rules, engine, vocabulary)
    if faults:
        raise source.error(faults)
    return engine, tuple(rules)


def _names(source: Source, document: ModelPolicy, vocabulary: Vocabulary) -> Iterator[Fault]:
    """Yield ids that are taken twice or name nothing."""
    for part, names in (
        ("rules", [r.id for r in document.spec.rules]),
        ("waivers", [w.id for w in document.spec.waivers]),
        ("variables", [v.name for v in document.spec.variables]),
    ):
        key = "name" if part == "variables" else "id"
        for index, name in enumerate(names):
            if name in names[:index]:
                yield Fault("P003", f"{part}: the {key} {name!r} is used twice", source.place(("spec", part, index, key)))
    for index, rule in enumerate(document.spec.rules):
        if rule.id == REQUIRED:
            yield Fault("P003", f"rules: the id {REQUIRED!r} belongs to requires", source.place(("spec", "rules", index, "id")))
    for index, plugin in enumerate(document.spec.requires):
        if plugin not in vocabulary.plugins:
            place = source.place(("spec", "requires", index))
            yield Fault("P110", f"requires: there is no plug-in {plugin!r}{meant(plugin, vocabulary.plugins)}", place)


def _rule(
    source: Source, index: int, rule: PolicyRule, engine: RuleEngine, vocabulary: Vocabulary, faults: list[Fault]
) -> CompiledRule | None:
    """Return a compiled rule, or None with its faults noted."""
    before = len(faults)
    base: Path = ("spec", "rules", index)
    site = _Site(source, (*base, "expression"), rule.id, rule.expression)
    expression = _try(site, partial(engine.compile, rule.expression, "bool"), vocabulary, faults)
    when = message = None
    if rule.when is not None:
        site_of_when = _Site(source, (*base, "when"), f"{rule.id} (when)", rule.when)
        when = _try(site_of_when, partial(engine.compile, rule.when, "bool"), vocabulary, faults)
    if rule.message is not None:
        site_of_message = _Site(source, (*base, "message"), f"{rule.id} (message)", rule.message)
        message = _try(site_of_message, partial(engine.compile, rule.message, "string"), vocabulary, faults, guards=True)
    if expression is None or len(faults) > before:
        return None
    return CompiledRule(rule=rule, expression=expression, when=when, message=message)


def _try(
    site: _Site, compile_: Callable[[], Program], vocabulary: Vocabulary, faults: list[Fault], *, guards: bool = False
) -> Program | None:
    """Return a program, or None with its faults noted; ``guards`` allows has() on evidence, as messages may."""
    try:
        program = compile_()
    except NotCompiledError as error:
        faults.extend(site.fault(f) for f in error.faults)
        return None
    refused = {
        site.fault(CompileFault(m.code, m.message, m.at)): None for m in program.reach.misuses if not (guards and m.code == "P205")
    }
    unknown = {site.fault(f): None for f in _words(program, vocabulary)}
    faults.extend([*refused, *unknown])
    return program


def _words(program: Program, vocabulary: Vocabulary) -> Iterator[CompileFault]:
    """Yield every word in an expression that no plug-in says."""
    plugins = vocabulary.plugins
    for read, at in program.reach.keys:
        match read.variable:
            case "measurements":
                metric, slash, scope = read.key.partition("/")
                if metric not in vocabulary.metrics:
                    yield CompileFault("P110", f"there is no metric {metric!r}{meant(metric, vocabulary.metrics)}", at)
                elif not slash or not scope:
                    yield CompileFault("P110", f"a measurement is named metric/scope, such as {metric}/general or {metric}/*", at)
            case "components":
                if read.key not in COMPONENT_TYPES:
                    yield CompileFault("P110", f"there is no component type {read.key!r}{meant(read.key, COMPONENT_TYPES)}", at)
            case _:
                if read.key not in plugins:
                    yield CompileFault("P110", f"there is no plug-in {read.key!r}{meant(read.key, plugins)}", at)
    for literal in program.reach.literals:
        for known, what in {_allowed(r, vocabulary) for r in literal.reads} - {None}:  # type: ignore[misc] # None was taken out
            if literal.text not in known:
                yield CompileFault("P110", f"there is no {what} {literal.text!r}{meant(literal.text, known)}", literal.at)


def _allowed(read: Read, vocabulary: Vocabulary) -> tuple[tuple[str, ...], str] | None:
    """Return the words a field can hold and what they are, or None if any."""
    if read.variable == "findings" and read.field == "rule":
        words = vocabulary.plugins.get(read.key)
        return (tuple(sorted(words.rules)), f"rule of {read.key}") if words else None
    closed = CLOSED.get((read.variable, read.field))
    return (closed, read.field) if closed else None


def _without_evidence(
    source: Source, document: ModelPolicy, rules: list[CompiledRule], engine: RuleEngine, vocabulary: Vocabulary
) -> Iterator[Fault]:
    """Yield rules that pass without evidence, and the policy if nothing in it can fail."""
    params = document.spec.params
    blind = False
    for index, compiled_rule in enumerate(rules):
        place = source.place(("spec", "rules", index, "expression"))
        program, name = compiled_rule.expression, compiled_rule.rule.id
        if not program.reach.evidence:
            blind = True
            yield Fault("P201", f"{name} reads no evidence: it would pass whatever was found", place)
        elif true_of_nothing(program, engine, params):
            blind = True
            read = ", ".join(str(r) for r in sorted(program.reach.evidence))
            yield Fault("P203", f"{name} is true without {read} (|| hides the gap); put the exception into when", place)
        elif cannot_fail(program, engine, params, vocabulary):
            blind = True
            (number,) = program.reach.evidence
            share = vocabulary.unit(number.key.split("/", 1)[0]) == "1"
            hint = "; it is a share between -1 and 1: write 0.05 for five percent" if share else ""
            yield Fault("P206", f"{name} cannot fail: no value of {number} makes it false{hint}", place)
    binding = [r for r in rules if r.rule.effect != "note"]
    place = source.place(("spec", "rules"), key=True)
    if not binding:
        yield Fault("P204", "this policy cannot fail: every rule is a note; at least one must reject or ask for review", place)
    elif not blind and not any(can_fail(r.expression, engine, params, vocabulary) for r in binding):
        yield Fault("P204", "this policy cannot fail: no rule of it is false for any evidence tried", place)
