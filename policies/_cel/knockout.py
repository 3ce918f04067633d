"""Asks a rule what it says without evidence and with the worst evidence, before it is trusted with any.

Read by ``policies.loader``. A rule that is true while everything it reads is missing is refused; a policy none of whose rules
can be made to fail is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice, product

from governance.evidence import Basis, Confidence, Outcome, Severity
from policies._cel.environment import COMPONENT_TYPES, LISTS, MESSAGES, Facts, Fields
from policies._cel.expressions import Program, RuleEngine
from policies.document import CLOSED, Param, Vocabulary

#: Literals of one expression that are tried as values.
_MOST = 12
#: Combinations tried before a rule counts as one that cannot fail.
_TRIES = 1_000
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_ANY = (-1e9, 1e9)
#: What values of a unit can be: a share or a difference of shares, a percentage.
_RANGES = {"1": (-1.0, 1.0), "percent": (-100.0, 100.0)}


def nothing(params: dict[str, Param]) -> Facts:
    """Return facts of a dossier in which no check completed."""
    named: Fields = {f: "x" for f, kind in MESSAGES["Subject"].items() if kind == "string"}
    return Facts(
        lists={"findings": {}, "components": {}},
        singles={"measurements": {}, "checks": {}},
        plain={
            "subject": {**named, "base.repo": "x", "base.owner": "x", "base.commit": "x"},
            "intent": dict.fromkeys(MESSAGES["Intent"], "x"),
            "params": {n: p.value for n, p in params.items()},
        },
        now=_EPOCH,
        missing={},
    )


def true_of_nothing(program: Program, engine: RuleEngine, params: dict[str, Param]) -> bool:
    """Return whether an expression is true although none of its evidence exists."""
    return program.evaluate(engine.bind(nothing(params))) is True


def can_fail(program: Program, engine: RuleEngine, params: dict[str, Param], vocabulary: Vocabulary) -> bool:
    """Return whether some evidence out of a fixed set of extremes makes an expression false."""
    return any(program.evaluate(engine.bind(facts)) is False for facts in _extremes(program, nothing(params), vocabulary))


def cannot_fail(program: Program, engine: RuleEngine, params: dict[str, Param], vocabulary: Vocabulary) -> bool:
    """Return whether an expression is surely true whatever its evidence says.

    Only an expression that reads one number and nothing else is answered with yes: every end of the range of its unit, and both
    sides of each constant written in it, were tried. Anything less plain is left to its author.
    """
    keys, fields = {(r.variable, r.key) for r in program.reach.reads}, {r.field for r in program.reach.reads if r.field}
    if len(keys) != 1 or len(fields) != 1 or next(iter(keys))[0] != "measurements":
        return False
    answers = [program.evaluate(engine.bind(facts)) for facts in _extremes(program, nothing(params), vocabulary)]
    return len(answers) < _TRIES and all(a is True for a in answers)


def _range(keys: set[tuple[str, str]], vocabulary: Vocabulary) -> tuple[float, float]:
    """Return the least and the largest value of what is measured."""
    units = {vocabulary.unit(key.split("/", 1)[0]) for variable, key in keys if variable == "measurements"}
    return _RANGES.get(units.pop(), _ANY) if len(units) == 1 else _ANY


def _extremes(program: Program, empty: Facts, vocabulary: Vocabulary) -> Iterator[Facts]:
    keys = {(r.variable, r.key) for r in program.reach.evidence}
    written = sorted(program.reach.constants, key=str)[:_MOST]
    low, high = _range(keys, vocabulary)
    beside = (c + step for c in written if isinstance(c, float) for step in (0.0, 1e-6, -1e-6))
    numbers = (0.0, high, low, *(c for c in beside if low <= c <= high))
    counts = (10**9, 0, *(int(c) for c in written if isinstance(c, float) and math.isfinite(c)))
    texts = ("x", *(c for c in written if isinstance(c, str)))
    verdicts = CLOSED["measurements", "verdict"]
    read = {variable for variable, _ in keys}
    said = {rule for variable, key in keys if variable == "findings" for rule in vocabulary.plugins[key].rules}
    chosen = ("nothing", "everything", *sorted(said)) if read & set(LISTS) else ("nothing",)
    outcomes = tuple(Outcome) if "checks" in read else (Outcome.COMPLETED,)
    measured = tuple(product(verdicts, numbers, counts)) if "measurements" in read else ((verdicts[0], 0.0, 0),)
    for text, full, outcome, (verdict, number, count) in islice(product(texts, chosen, outcomes, measured), _TRIES):
        lists: dict[str, dict[str, tuple[Fields, ...]]] = {v: {} for v in LISTS}
        singles: dict[str, dict[str, Fields]] = {"measurements": {}, "checks": {}}
        for variable, key in keys:
            match variable:
                case "findings":
                    lists[variable][key] = _said(vocabulary, key, full, text)
                case "components":
                    lists[variable] = {
                        t: ({**dict.fromkeys(MESSAGES["Component"], text)},) if full != "nothing" else () for t in COMPONENT_TYPES
                    }
                case "measurements":
                    value = {f: number for f, kind in MESSAGES["Measurement"].items() if kind == "double"}
                    whole = {f: count for f, kind in MESSAGES["Measurement"].items() if kind == "int"}
                    singles[variable][key] = {**value, **whole, "unit": text, "scope": text, "verdict": verdict}
                case _:
                    singles[variable][key] = {"outcome": outcome.value, "reason": text, "isolation": text, "step": "inspect"}
        yield replace(empty, lists=lists, singles=singles)


def _said(vocabulary: Vocabulary, plugin: str, which: str, text: str) -> tuple[Fields, ...]:
    """Return no finding, one of each kind a plug-in may report, or one of one rule alone."""
    rules = sorted(vocabulary.plugins[plugin].rules)
    if which == "everything":
        kinds = list(product(rules, Severity, Confidence, Basis))
    else:
        kinds = [(r, Severity.HIGH, Confidence.HIGH, Basis.BYTES) for r in rules if r == which]
    return tuple(
        {
            "rule": r,
            "severity": s.value,
            "confidence": c.value,
            "basis": b.value,
            "path": text,
            "message": text,
            "subject": "adapter",
        }
        for r, s, c, b in kinds
    )
