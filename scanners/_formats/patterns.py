"""Regular expressions of a subject, matched without backtracking, so that no pattern can stall the scan.

PEFT matches ``target_modules``, ``rank_pattern`` and ``alpha_pattern`` with ``re``; a hostile pattern there would run for
years. Here the set of reachable positions is carried through the pattern, which is linear in the pattern and at worst
quadratic in a module's name.

Source:
    K. Thompson, Regular Expression Search Algorithm, CACM 11(6), 1968; Python ``re`` syntax, the part without
    references, look-behind, look-ahead inside look-ahead, and more than one counted repeat.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

_LONGEST_PATTERN = 4_000
_LONGEST_TEXT = 500
_DEEPEST = 20
_MOST_COUNTED = 32

#: Characters looked at for one name; honest patterns need some thousands.
_MOST_STEPS = 100_000


class _Spent(threading.local):
    """What the match that is running has cost so far."""

    steps = 0


_spent = _Spent()

#: Positions reachable from positions.
_Step = Callable[[str, frozenset[int]], frozenset[int]]


class UnreadablePatternError(ValueError):
    """The pattern uses what is not read here, or is no pattern."""


def full_match(pattern: str, text: str) -> bool:
    """Return whether a pattern matches the whole text.

    Args:
        pattern: From a subject.
        text: A module's name.

    Raises:
        UnreadablePatternError: The pattern cannot be read; the caller has to say so.
    """
    if len(text) > _LONGEST_TEXT:
        raise UnreadablePatternError("the name is too long")
    step = _compiled(pattern)
    _spent.steps = 0
    return len(text) in step(text, frozenset((0,)))


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> _Step:
    if len(pattern) > _LONGEST_PATTERN:
        raise UnreadablePatternError("the pattern is too long")
    reader = _Reader(pattern)
    step = reader.either(0)
    if reader.at < len(pattern):
        raise UnreadablePatternError(f"unbalanced at {reader.at}")
    return step


@dataclass
class _Reader:
    """Recursive descent over a pattern."""

    pattern: str
    at: int = 0
    looking: bool = False
    nested_counts: int = 0

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def take(self) -> str:
        if self.at >= len(self.pattern):
            raise UnreadablePatternError("ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def either(self, depth: int) -> _Step:
        if depth > _DEEPEST:
            raise UnreadablePatternError("nested too deeply")
        options = [self.sequence(depth)]
        while self.peek() == "|":
            self.at += 1
            options.append(self.sequence(depth))
        return options[0] if len(options) == 1 else lambda t, s: frozenset().union(*(o(t, s) for o in options))

    def sequence(self, depth: int) -> _Step:
        steps: list[_Step] = []
        while self.peek() not in ("", "|", ")"):
            steps.append(self.repeated(depth))

        def run(text: str, starts: frozenset[int]) -> frozenset[int]:
            for step in steps:
                starts = step(text, starts)
            return starts

        return run

    def repeated(self, depth: int) -> _Step:
        step = self.one(depth)
        while self.peek() in ("*", "+", "?"):
            kind = self.take()
            if self.peek() in ("?", "+"):
                self.at += 1
            step = _optional(step) if kind == "?" else _many(step, at_least_one=kind == "+")
        if self.peek() == "{":
            step = self.counted(step)
        return step

    def counted(self, step: _Step) -> _Step:
        """Read ``{m}``, ``{m,}`` or ``{m,n}`` after a step; not one inside another, whose counts would multiply."""
        end = self.pattern.find("}", self.at)
        match = re.fullmatch(r"(\d{1,2})(,?)(\d{0,2})", self.pattern[self.at + 1 : end]) if end > 0 else None
        if match is None or self.nested_counts:
            raise UnreadablePatternError("this counted repeat is not read")
        self.at, self.nested_counts = end + 1, self.nested_counts + 1
        if self.peek() in ("?", "+"):
            self.at += 1
        least = int(match[1])
        most = int(match[3]) if match[3] else least
        if most < least or most > _MOST_COUNTED:
            raise UnreadablePatternError("this counted repeat is not read")
        rest = _many(step, at_least_one=False) if match[2] and not match[3] else None

        def run(text: str, starts: frozenset[int]) -> frozenset[int]:
            for _ in range(least):
                starts = step(text, starts)
            if rest is not None:
                return rest(text, starts)
            reached = starts
            for _ in range(most - least):
                starts = step(text, starts)
                reached |= starts
            return reached

        return run

    def one(self, depth: int) -> _Step:
        character = self.take()
        match character:
            case "(":
                ahead = ""
                if self.peek() == "?":
                    self.at += 1
                    kind = self.take()
                    if kind == "P" and (name := re.compile(r"<\w{1,60}>").match(self.pattern, self.at)):
                        self.at = name.end()
                    elif kind in ("=", "!") and not self.looking:
                        ahead, self.looking = kind, True
                    elif kind != ":":
                        raise UnreadablePatternError("this look-around or reference is not read")
                step = self.either(depth + 1)
                if ahead:
                    self.looking = False
                    step = _ahead(step, wanted=ahead == "=")
                if self.take() != ")":
                    raise UnreadablePatternError("a bracket is not closed")
                return step
            case "^":
                return lambda _, s: s & {0}
            case "$":
                return lambda t, s: s & {len(t)}
            case ".":
                return _single(lambda _: True)
            case "[":
                return _single(self.one_of())
            case "\\" if self.peek() in ("Z", "A"):
                first = self.take() == "A"
                return lambda t, s: s & {0 if first else len(t)}
            case "\\":
                return _single(_escaped(self.take()))
            case "*" | "+" | "?" | "{" | ")":
                raise UnreadablePatternError(f"{character!r} stands alone")
            case _:
                return _single(lambda c: c == character)

    def one_of(self) -> Callable[[str], bool]:
        """Read a character class; Python's own reading of the same few characters decides."""
        start = self.at
        while self.take() != "]" or self.at == start + 1:
            pass
        text = self.pattern[start - 1 : self.at]
        try:
            known = re.compile(text)
        except re.error as error:
            raise UnreadablePatternError(str(error)) from error
        return lambda c: known.fullmatch(c) is not None


def _single(test: Callable[[str], bool]) -> _Step:
    def run(text: str, starts: frozenset[int]) -> frozenset[int]:
        _spent.steps += len(starts) + 1
        if _spent.steps > _MOST_STEPS:
            raise UnreadablePatternError("it takes too many steps")
        return frozenset(s + 1 for s in starts if s < len(text) and test(text[s]))

    return run


def _escaped(character: str) -> Callable[[str], bool]:
    classes: dict[str, Callable[[str], bool]] = {
        "d": str.isdigit,
        "D": lambda c: not c.isdigit(),
        "w": lambda c: c.isalnum() or c == "_",
        "W": lambda c: not (c.isalnum() or c == "_"),
        "s": str.isspace,
        "S": lambda c: not c.isspace(),
    }
    if character in classes:
        return classes[character]
    if character.isalnum():
        raise UnreadablePatternError(f"\\{character} is not read")
    return lambda c: c == character


def _optional(step: _Step) -> _Step:
    return lambda text, starts: starts | step(text, starts)


def _ahead(step: _Step, *, wanted: bool) -> _Step:
    """Return a step that stays where it is if what follows does, or does not, match."""
    return lambda text, starts: frozenset(s for s in starts if bool(step(text, frozenset((s,)))) == wanted)


def _many(step: _Step, *, at_least_one: bool) -> _Step:
    def run(text: str, starts: frozenset[int]) -> frozenset[int]:
        reached = step(text, starts) if at_least_one else starts
        fresh = reached
        while fresh := step(text, fresh) - reached:
            reached |= fresh
        return reached

    return run
