"""How two templates differ: as text line by line, and in what they say and ask. Read by ``scanners.chat_template``."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from jinja2 import nodes

from scanners._formats.templates.review import parse
from scanners._formats.templates.words import is_prose

_SHOWN, _MOST_LINES = 16, 3_000
#: Default system prompts as families write them; they are shown, and no sign of tampering.
_DEFAULT = re.compile(r"\AYou are\b.{0,120}\b(?:assistant|created by|trained by|developed by|built by|model|AI)\b", re.DOTALL)


@dataclass(frozen=True)
class Difference:
    """What a second template has that the first has not.

    Attributes:
        lines: Lines that were added or taken away.
        shown: The first of them, with ``+`` and ``-``.
        prose: Literals with prose that only the second has, default system prompts left out.
        tests: Conditions that only the second has.
        keeps: Whether it still says and asks everything the first does, so that it is the first with something put in.
    """

    lines: int
    shown: tuple[str, ...]
    prose: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    keeps: bool = False


def same(first: str, second: str) -> bool:
    """Return whether two templates are the same, as Jinja reads them."""
    if first.strip() == second.strip():
        return True
    trees = parse(first.strip()), parse(second.strip())
    try:
        return not isinstance(trees[0], str) and not isinstance(trees[1], str) and trees[0] == trees[1]
    except RecursionError:
        return False


def compare(first: str, second: str) -> Difference:
    """Return how a second template differs from a first."""
    before, after = _blocks(first), _blocks(second)
    lines = difflib.unified_diff(before[:_MOST_LINES], after[:_MOST_LINES], lineterm="", n=0)
    changed = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    trees = parse(first), parse(second)
    if isinstance(trees[0], str) or isinstance(trees[1], str):
        return Difference(len(changed), tuple(changed[:_SHOWN]))
    try:
        (old_words, old_tests), (new_words, new_tests) = _parts(trees[0]), _parts(trees[1])
    except RecursionError:
        return Difference(len(changed), tuple(changed[:_SHOWN]))
    prose = tuple(w for w in new_words if w not in old_words and is_prose(w) and not _DEFAULT.match(w.strip()))
    tests = tuple(t for t in new_tests if t not in old_tests)
    keeps = bool(old_words) and set(old_words) <= set(new_words) and set(old_tests) <= set(new_tests)
    return Difference(len(changed), tuple(changed[:_SHOWN]), prose, tests, keeps)


def _blocks(text: str) -> list[str]:
    """Return a template cut before each tag, so that one long line is compared in parts."""
    return [part for line in text.splitlines() for part in re.split(r"(?=\{[%{])", line) if part.strip()]


def _parts(tree: nodes.Template) -> tuple[list[str], list[str]]:
    words: dict[str, None] = {}
    for node in tree.find_all((nodes.Const, nodes.TemplateData)):
        text = node.value if isinstance(node, nodes.Const) else node.data if isinstance(node, nodes.TemplateData) else None
        if isinstance(text, str) and text.strip():
            words[text.strip()] = None
    tests = [repr(node.test) for node in tree.find_all((nodes.If, nodes.CondExpr)) if isinstance(node, nodes.If | nodes.CondExpr)]
    return list(words), tests
