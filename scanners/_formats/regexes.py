"""Regular expressions a subject gives to its loader, judged by their shape and never run: whether matching may take forever.

Source:
    CWE-1333; Davis et al., The Impact of Regular Expression Denial of Service in Practice, ESEC/FSE 2018.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LONGEST = 20_000
#: Unbounded wildcards in one row from which polynomial backtracking hurts on names of a few hundred characters.
_ROW = 6
_BRANCHES = 60
#: A group that is one wildcard or class repeats like it.
_WIDE = re.compile(r"\[[^\]]{1,200}\]|\.|\\[wWdDsS]")


@dataclass
class _Group:
    """A group being read: whether some branch begins with a repeated atom, and its branches as text."""

    start: int = 0
    repeated_first: bool = False
    branches: tuple[str, ...] = ()
    fresh: bool = True

    def end_branch(self, pattern: str, place: int) -> None:
        """Close the branch that ends here."""
        self.branches = (*self.branches[:_BRANCHES], pattern[self.start : place])
        self.start, self.fresh = place + 1, True

    @property
    def overlap(self) -> bool:
        """Whether one branch begins like another."""
        return any(b.startswith(a) for at, a in enumerate(self.branches) for to, b in enumerate(self.branches) if at != to and a)


def is_costly(pattern: str) -> str:
    """Return why matching a pattern may take exponential or steep polynomial time; empty if its shape does not say so.

    Args:
        pattern: The expression, as the subject wrote it.
    """
    if len(pattern) > _LONGEST:
        return f"{len(pattern):,} characters long"
    stack, place, row, last = [_Group()], 0, 0, _Group()
    atom = ""
    while place < len(pattern):
        char, place = pattern[place], place + 1
        if char == "(":
            if pattern[place : place + 1] == "?":
                place = _after_prefix(pattern, place)
            stack.append(_Group(place))
            atom = ""
            continue
        if char == ")":
            last = stack.pop() if len(stack) > 1 else stack[0]
            last.end_branch(pattern, place - 1)
            atom = "group"
        elif char == "|":
            stack[-1].end_branch(pattern, place - 1)
            atom = ""
            continue
        elif char == "[":
            place = _after_class(pattern, place)
            atom = "class"
        elif char == "\\":
            atom, place = pattern[place - 1 : place + 1], place + 1
        elif char in "^$":
            continue
        else:
            atom = char
        unbounded, place = _quantified(pattern, place)
        group = stack[-1]
        if group.fresh:
            group.fresh = False
            single = atom != "group" or any(_WIDE.fullmatch(b) for b in last.branches)
            group.repeated_first = group.repeated_first or (unbounded and single)
        if unbounded and atom == "group":
            if last.repeated_first:
                return "a repeated group begins with something repeated"
            if last.overlap:
                return "a repeated group has alternatives that begin alike"
        row = row + 1 if unbounded and atom in (".", "class", "\\w", "\\s", "\\S", "\\W") else 0 if not unbounded else row
        if row >= _ROW:
            return f"{row} unbounded wildcards in a row"
    return ""


def _after_prefix(pattern: str, place: int) -> int:
    """Return where a group's body begins, behind ``?:``, ``?=``, ``?P<name>`` and the like."""
    if pattern[place + 1 : place + 2] in ("P", "<"):
        end = pattern.find(">", place) if pattern[place + 1 : place + 3] not in ("<=", "<!") else place + 2
        return end + 1 if end > 0 else len(pattern)
    return place + 2


def _after_class(pattern: str, place: int) -> int:
    place += pattern[place : place + 1] == "^"
    place += pattern[place : place + 1] == "]"
    while place < len(pattern) and pattern[place] != "]":
        place += 2 if pattern[place] == "\\" else 1
    return place + 1


def _quantified(pattern: str, place: int) -> tuple[bool, int]:
    """Return whether what follows repeats without bound, and where it ends; a possessive quantifier does not backtrack."""
    char = pattern[place : place + 1]
    unbounded = char in ("*", "+") and char != ""
    if char == "{":
        end = pattern.find("}", place, place + 24)
        body = pattern[place + 1 : end] if end > 0 else ""
        if not body or not body.replace(",", "").isdigit():
            return False, place
        unbounded, place = body.endswith(",") or (body.split(",")[-1].isdigit() and int(body.split(",")[-1]) > 1000), end + 1
    elif char in ("*", "+", "?") and char:
        place += 1
    else:
        return False, place
    if pattern[place : place + 1] == "+":
        return False, place + 1
    return unbounded, place + (pattern[place : place + 1] == "?")
