"""What Jinja's operators, filters and methods give for constants: pure functions with ceilings, read by ``templates.flow``.

Source:
    Jinja 3.1 template designer documentation, lists of built-in filters and tests; Python's text methods.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from scanners._formats.tables import table
from scanners._formats.templates.values import (
    ANY,
    MOST_ITEMS,
    MOST_TEXT,
    UNKNOWN,
    Constant,
    Map,
    Seq,
    Unknown,
    Value,
    constant,
    is_number,
    items_of,
    shown_text,
)  # fmt: skip

#: Repetitions, widths and ranges above this are told as cost.
HUGE = 100_000
_PERCENT = re.compile(r"%(?:\((\w{1,40})\))?([-+ #0]{0,5})(\d{0,18})(?:\.(\d{1,18}))?([sdrciuxXofeEgGa%])")
_PLAIN_METHODS = frozenset(table("templates")["folded"].split())
_SAME = frozenset(["string", "safe", "e", "escape", "forceescape", "d", "default", "list", "tojson", "pprint"])
_METHOD_FILTERS = {
    "lower": "lower",
    "upper": "upper",
    "title": "title",
    "capitalize": "capitalize",
    "trim": "strip",
    "strip": "strip",
}


class TooMuch(Exception):  # noqa: N818 - a signal inside the reader, turned into a remark there
    """A constant expression that makes something huge; says what."""


def method(name: str, owner: Constant, args: Sequence[Constant]) -> Value:
    """Return what a method of a constant gives; an open value if it is not folded.

    Raises:
        TooMuch: The result would be huge.
    """
    if isinstance(owner, str) and name == "join" and len(args) == 1:
        return joined(owner, Value((args[0],), open=False))
    if isinstance(owner, Map):
        match name, args:
            case "keys", _:
                return constant(Seq(tuple(k for k, _ in owner.pairs)))
            case "values", _:
                return constant(Seq(tuple(v for _, v in owner.pairs)))
            case "items", _:
                return constant(Seq(tuple(constant(Seq((k, v))) for k, v in owner.pairs)))
            case "get", [key, *rest]:
                hit = next((v for k, v in reversed(owner.pairs) if k.only == key), None)
                return hit if hit is not None else constant(rest[0] if rest else None)
            case _:
                return ANY
    if not isinstance(owner, str) or name not in _PLAIN_METHODS:
        return ANY
    if any(is_number(a) and abs(a) > HUGE for a in args):
        raise TooMuch(f"{name} with {args[0]!r}")
    if name == "replace" and len(args) > 1 and (len(owner) + 1) * max(1, len(str(args[1]))) > 50 * MOST_TEXT:
        raise TooMuch("replace makes a huge text")
    try:
        return lift(getattr(str, name)(owner, *(a for a in args if not isinstance(a, Seq | Map))))
    except (TypeError, ValueError, OverflowError):
        return ANY


def lift(value: object) -> Value:
    """Return a Python constant as a value."""
    match value:
        case str() | int() | float() | None:
            return constant(value)
        case list() | tuple():
            return constant(Seq(tuple(lift(v) for v in value[:MOST_ITEMS])))
        case _:
            return ANY


def joined(glue: str, value: Value) -> Value:
    """Return the elements of a value as one text."""
    items = items_of(value)
    if items is None:
        return Value(marks=frozenset({"built"}))
    parts = [shown_text(only) if not isinstance(only := item.only, Unknown) else None for item in items]
    known = [p for p in parts if p is not None]
    marks = frozenset(m for item in items for m in item.marks)
    return constant(glue.join(known), marks) if len(known) == len(parts) else Value(marks=marks | {"built"})


def added(left: Constant, right: Constant) -> Value:
    """Return the sum of two constants."""
    match left, right:
        case str(), str():
            return constant(left + right)
        case Seq(), Seq():
            return constant(Seq((*left.items, *right.items)[:MOST_ITEMS]))
        case _ if is_number(left) and is_number(right):
            return constant(left + right)
        case _:
            return ANY


def arithmetic(name: str, left: Constant, right: Constant) -> Value:
    """Return the result of an operator; ``name`` is Jinja's node name.

    Raises:
        TooMuch: The result would be huge.
    """
    match name:
        case "Add":
            return added(left, right)
        case "Mod" if isinstance(left, str):
            return percent(left, right.items if isinstance(right, Seq) else (constant(right),), right)
        case "Mul" if isinstance(left, str | Seq) and isinstance(right, int):
            return _repeated(left, right)
        case "Mul" if isinstance(right, str | Seq) and isinstance(left, int):
            return _repeated(right, left)
        case _ if not (is_number(left) and is_number(right)):
            return ANY
        case "Pow":
            if abs(right) > 64 or abs(left) > 10**9:
                raise TooMuch(f"{left} to the power of {right}")
            return lift(left**right)
        case _:
            operators: dict[str, Callable[[float, float], float]] = {
                "Sub": lambda a, b: a - b, "Mul": lambda a, b: a * b, "Div": lambda a, b: a / b, "FloorDiv": lambda a, b: a // b,
                "Mod": lambda a, b: a % b,
            }  # fmt: skip
            try:
                return lift(operators[name](left, right))
            except (ZeroDivisionError, OverflowError, KeyError):
                return ANY


def _repeated(value: str | Seq, times: int) -> Value:
    size = len(value) if isinstance(value, str) else len(value.items)
    if size * times > 10 * HUGE:
        raise TooMuch(f"something is repeated {times:,} times")
    if isinstance(value, Seq):
        return constant(Seq((value.items * max(0, min(times, MOST_ITEMS)))[:MOST_ITEMS]))
    return constant(value * times)


def percent(pattern: str, values: Sequence[Value], whole: Constant) -> Value:
    """Return a text with its percent fields filled in.

    Raises:
        TooMuch: A field is huge.
    """
    out, place, left = [], 0, list(values)
    for match in _PERCENT.finditer(pattern):
        out.append(pattern[place : match.start()])
        place = match.end()
        name, _, width, precision, code = match.groups()
        if max(int(width or 0), int(precision or 0)) > HUGE:
            raise TooMuch(f"a field {match[0]!r}")
        if code == "%":
            out.append("%")
            continue
        if name is not None and isinstance(whole, Map):
            value = next((v for k, v in whole.pairs if k.only == name), ANY)
        else:
            value = left.pop(0) if left else ANY
        only = value.only
        if isinstance(only, Seq | Map) or only is UNKNOWN:
            return Value(marks=frozenset({"built"}))
        try:
            out.append(f"%{match[2]}{width}{'.' + precision if precision else ''}{code}" % only)
        except (TypeError, ValueError, OverflowError):
            return Value(marks=frozenset({"built"}))
    return constant("".join((*out, pattern[place:])))


def sliced(value: Constant, start: Constant, stop: Constant, step: Constant) -> Value:
    """Return a part of a text or list."""
    bounds = [b for b in (start, stop, step) if b is None or isinstance(b, int)]
    if len(bounds) < 3 or step == 0:
        return ANY
    part = slice(bounds[0], bounds[1], bounds[2])
    if isinstance(value, str):
        return constant(value[part])
    return constant(Seq(value.items[part])) if isinstance(value, Seq) else ANY


def item(value: Constant, key: Constant) -> Value:
    """Return an element of a constant."""
    match value, key:
        case str(), int() if -len(value) <= key < len(value):
            return constant(value[key])
        case Seq(), int() if -len(value.items) <= key < len(value.items):
            return value.items[key]
        case Map(), _:
            return next((v for k, v in reversed(value.pairs) if k.only == key), ANY)
        case _:
            return ANY


def filtered(name: str, value: Value, args: Sequence[Constant], named: dict[str, Constant]) -> Value:
    """Return what a filter gives for one constant value; an open value if it is not folded.

    Raises:
        TooMuch: The result would be huge.
    """
    only = value.only
    if isinstance(only, Unknown):
        return ANY
    if name in _METHOD_FILTERS:
        return method(_METHOD_FILTERS[name], shown_text(only) or "", args)
    if any(is_number(a) and abs(a) > HUGE for a in (*args, *named.values())):
        raise TooMuch(f"the filter {name} with a huge number")
    items = items_of(value)
    match name, args:
        case "join", _:
            glue = args[0] if args else named.get("d", "")
            return joined(glue, value) if isinstance(glue, str) else ANY
        case "replace", [str(old), str(new), *rest]:
            return method("replace", shown_text(only) or "", [old, new, *rest])
        case "format", _ if isinstance(only, str):
            values = Map(tuple((constant(k), constant(v)) for k, v in named.items()))
            return percent(only, [constant(a) for a in args], values)
        case "reverse", _:
            return constant(only[::-1]) if isinstance(only, str) else constant(Seq((items or ())[::-1]))
        case "string", _:
            text = shown_text(only)
            return constant(text) if text is not None else ANY
        case (("length" | "count"), _) if items is not None:
            return constant(len(items))
        case "first", _ if items:
            return items[0]
        case "last", _ if items:
            return items[-1]
        case "list", _ if items is not None:
            return constant(Seq(items))
        case (("sort" | "unique" | "min" | "max"), _) if items is not None:
            return _ordered(name, items, reverse=bool(named.get("reverse", args[0] if args else False)))
        case (("batch" | "slice"), [int(size), *_]) if items is not None and size > 0:
            step = size if name == "batch" else -(-len(items) // size)
            return constant(Seq(tuple(constant(Seq(items[i : i + step])) for i in range(0, len(items), max(1, step)))))
        case "sum", _ if items is not None:
            total = Value((named.get("start", 0),), open=False)
            for part in items:
                a, b = total.only, part.only
                if isinstance(a, Unknown) or isinstance(b, Unknown):
                    return ANY
                total = added("" if a == 0 and isinstance(b, str) else Seq() if a == 0 and isinstance(b, Seq) else a, b)
            return total
        case "items", _ if isinstance(only, Map):
            return method("items", only, ())
        case "dictsort", _ if isinstance(only, Map):
            return constant(Seq(tuple(constant(Seq(p)) for p in sorted(only.pairs, key=lambda p: str(p[0].only)))))
        case (("int" | "float" | "abs" | "round"), _):
            try:
                return constant(int(float(str(only))) if name in ("int", "round") else abs(float(str(only))))
            except (ValueError, OverflowError):
                return ANY
        case _ if name in _SAME:
            return value
        case _:
            return ANY


def _ordered(name: str, items: tuple[Value, ...], *, reverse: bool) -> Value:
    values = [i.only for i in items]
    if not all(isinstance(v, str) for v in values) and not all(is_number(v) for v in values):
        return ANY
    plain = [v for v in values if isinstance(v, str | int | float)]
    if name == "unique":
        return constant(Seq(tuple(constant(v) for v in dict.fromkeys(plain))))
    order = sorted(plain, key=lambda v: (str(v).lower() if isinstance(v, str) else "", v if is_number(v) else 0), reverse=reverse)
    if name == "sort" or not order:
        return constant(Seq(tuple(constant(v) for v in order)))
    return constant(order[0] if name == "min" else order[-1])
