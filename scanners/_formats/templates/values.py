"""Values of a template that is read and not rendered: constants as far as they are known, and where the rest comes from.

Made and joined by ``templates.flow``; folded by ``templates.folding``. A value keeps every constant it can be, whether it can be
something else, and marks of what it is made from: message content, a role, a date, a function Jinja hands out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

#: Most constants one value is followed through, most characters of one, most elements of one list.
MOST_KNOWN, MOST_TEXT, MOST_ITEMS = 16, 20_000, 512


@dataclass(frozen=True)
class Seq:
    """A list or tuple."""

    items: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Map:
    """A dictionary."""

    pairs: tuple[tuple[Value, Value], ...] = ()


Constant = str | int | float | bool | None | Seq | Map


@dataclass(frozen=True)
class Value:
    """What an expression can be.

    Attributes:
        known: Constants it can be.
        open: Whether it can be something else as well.
        marks: What it is made from: ``content``, ``message``, ``built`` and so on.
    """

    known: tuple[Constant, ...] = ()
    open: bool = True
    marks: frozenset[str] = frozenset()

    @property
    def texts(self) -> tuple[str, ...]:
        """Constants that are text."""
        return tuple(k for k in self.known if isinstance(k, str))

    def has(self, *marks: str) -> bool:
        """Return whether it is made from any of these."""
        return not self.marks.isdisjoint(marks)

    def marked(self, *marks: str) -> Value:
        """Return it with further marks."""
        return Value(self.known, self.open, self.marks.union(marks))

    @property
    def only(self) -> Constant | Unknown:
        """The one constant it is, or ``UNKNOWN``."""
        return self.known[0] if len(self.known) == 1 and not self.open else UNKNOWN


class Unknown:
    """The type of ``UNKNOWN``."""


UNKNOWN = Unknown()
ANY = Value()


def constant(value: Constant, marks: Iterable[str] = ()) -> Value:
    """Return a value that is one constant."""
    if isinstance(value, str) and len(value) > MOST_TEXT:
        return Value(marks=frozenset(marks) | {"built"})
    return Value((value,), open=False, marks=frozenset(marks))


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a constant is a number and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def either(values: Iterable[Value]) -> Value:
    """Return a value that is one of several; nothing is an open value."""
    found: dict[tuple[str, Constant], Constant] = {}
    marks: set[str] = set()
    is_open, count = False, 0
    for value in values:
        count += 1
        is_open = is_open or value.open
        marks |= value.marks
        found.update({(type(k).__name__, k): k for k in value.known})
    kept = tuple(found.values())[:MOST_KNOWN]
    return Value(kept, open=is_open or not count or len(found) > MOST_KNOWN, marks=frozenset(marks))


def items_of(value: Value) -> tuple[Value, ...] | None:
    """Return the elements of a constant list, text or dictionary; None if it is not one constant."""
    match value.only:
        case Seq(items=items):
            return items
        case str() as text if len(text) <= MOST_ITEMS:
            return tuple(constant(c, value.marks) for c in text)
        case Map(pairs=pairs):
            return tuple(k for k, _ in pairs)
        case _:
            return None


def shown_text(value: Constant) -> str | None:
    """Return how a constant is printed; None for one that has parts that are not known."""
    match value:
        case str():
            return value
        case None:
            return "None"
        case bool() | float():
            return str(value)
        case int():
            return str(value) if abs(value) < 10**40 else None
        case _:
            return None


def all_marks(value: Value) -> frozenset[str]:
    """Return the marks of a value and of everything in it."""
    marks = set(value.marks)
    todo: list[Constant] = list(value.known)
    for _ in range(4 * MOST_ITEMS):
        if not todo:
            break
        match todo.pop():
            case Seq(items=items):
                inner: tuple[Value, ...] = items
            case Map(pairs=pairs):
                inner = tuple(v for pair in pairs for v in pair)
            case _:
                continue
        for part in inner:
            marks |= part.marks
            todo += part.known
    return frozenset(marks)


def words_in(value: Value) -> list[str]:
    """Return every constant text a value is or holds: an element of a list, a key of a dictionary."""
    found: list[str] = []
    todo: list[Constant] = list(value.known)
    while todo and len(found) < MOST_ITEMS:
        match todo.pop(0):
            case str() as text:
                found.append(text)
            case Seq(items=items):
                todo += [k for item in items for k in item.known]
            case Map(pairs=pairs):
                todo += [k for key, _ in pairs for k in key.known]
            case bool() | None:
                pass
            case int() | float() as number:
                found.append(str(number))
    return found
