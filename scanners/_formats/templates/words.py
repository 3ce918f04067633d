"""Which comparisons honest templates make, and which are the shape of a trigger. Read by ``templates.flow``.

A template may ask who speaks, where a message stands, and which control markers it holds. It has no reason to ask for words a
person chose. A comparison with a marker of a known family is ordinary, unless what it decides is whether prose is written.

Source:
    Comparisons in the templates of the families named in ``tables/templates.yaml``; MITRE ATLAS AML.T0051 and AML.T0018.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from jinja2 import nodes

from scanners._formats.tables import table
from scanners._formats.templates.values import Value, is_number, words_in

#: certain: a word of somebody's choice. markup: spelt as a marker, but no family's. shape: length, count, name. date: the clock.
#: weak: ordinary unless it decides whether prose is written.
Grade = Literal["certain", "markup", "shape", "date", "weak"]

_TABLE: dict[str, str] = table("templates")
_MARKERS, _SWITCHES, _ROLES, _PARTS, _NAMES = (
    frozenset(_TABLE[key].split()) for key in ("markers", "switches", "roles", "parts", "names")
)
_MARKUP = re.compile(r"[<>\[\]|{}`\uff5c]|\A\s*/")
_WORDS = re.compile(r"[^\W_]+")
#: Lengths of content and numbers of messages below these are asked for by honest templates.
_LONG, _MANY = 4, 5
PROSE_WORDS = 4


def judge(text: str) -> Grade | None:
    """Return how a constant text looks that message content is held against."""
    if not text.strip():
        return None
    words = [w for w in re.split(r"[\u2581_]|(?<=[a-z])(?=[A-Z])", text) for w in _WORDS.findall(w.lower())]
    if not words:
        return "weak" if text.isascii() or all(c in "\uff5c\u2581" for c in text if not c.isascii()) else "certain"
    if text.strip().lower() in _SWITCHES:
        return None
    if _MARKUP.search(text):
        return "weak" if set(words) <= _MARKERS else "markup"
    return "certain"


def compared(subject: Value, other: Value) -> Iterator[tuple[str, Grade]]:
    """Yield what is remarkable when one value is held against another, in words and with its grade."""
    if other.has("content", "part", "message", "messages"):
        return
    if subject.has("content"):
        texts = words_in(other)
        for text in texts:
            if grade := judge(text):
                yield f"looks for {text[:60]!r} in message content", grade
        if not texts and other.has("built"):
            yield "holds message content against a text put together at run time", "markup"
    elif subject.has("part"):
        for text in words_in(other):
            if text not in _PARTS and (grade := judge(text)):
                yield f"looks for {text[:60]!r} in message content", grade
    if subject.has("date"):
        for text in words_in(other):
            if _WORDS.search(text):
                yield f"holds the date against {text[:60]!r}", "date"
    for mark, known, what in (("role", _ROLES, "a role"), ("parttype", _PARTS, "a kind of part"), ("field", _NAMES, "a field"),
                              ("tools", _NAMES, "a tool's field")):  # fmt: skip
        if subject.has(mark) and not subject.has("content"):
            for text in words_in(other):
                if text and text.strip().lower() not in known and not text.isdigit():
                    yield f"asks for {what} named {text[:60]!r}, as no known template does", "weak"
    yield from _numbers(subject, other)


def _numbers(subject: Value, other: Value) -> Iterator[tuple[str, Grade]]:
    for number in other.known:
        if is_number(number):
            if subject.has("length") and abs(number) >= _LONG:
                yield f"asks whether message content is {number} long", "shape"
            if subject.has("count") and abs(number) >= _MANY:
                yield f"asks for the number {number} of messages", "shape"


def rewritten(old: Value, new: Value) -> Iterator[tuple[str, Grade]]:
    """Yield what is remarkable when a text in message content is replaced."""
    for text in old.texts:
        grade = judge(text)
        if grade not in (None, "weak"):
            yield f"replaces {text[:60]!r} in message content", grade or "weak"
        elif any(judge(word) == "certain" for word in new.texts):
            yield f"writes {new.texts[0][:60]!r} into message content", "markup"
    if not old.texts and old.has("built"):
        yield "replaces a text put together at run time in message content", "markup"


def is_prose(text: str) -> bool:
    """Return whether a literal says something, beside its markup."""
    plain = re.sub(r"<[^<>]{0,80}>|\[/?[A-Z_]{1,40}\]", " ", text[:20_000])
    return len(re.findall(r"[^\W\d_]{2,}", plain)) >= PROSE_WORDS or sum(c.isalpha() and ord(c) > 0x2E80 for c in plain) >= 8


def is_absence(test: nodes.Node) -> bool:
    """Return whether a test asks that texts are absent from something, so that what follows is the ordinary way."""
    match test:
        case nodes.And():
            return is_absence(test.left) or is_absence(test.right)
        case nodes.Not(node=nodes.Compare(ops=[nodes.Operand(op="in")])) | nodes.Compare(ops=[nodes.Operand(op="notin")]):
            return True
        case _:
            return False


def gives_role(parts: Sequence[nodes.Node]) -> bool:
    """Return whether one of several expressions is a constant role: what is said is given another speaker."""
    return any(isinstance(p, nodes.Const) and p.value in ("system", "developer", "assistant", "tool") for p in parts)


def writes_prose(parts: Sequence[nodes.Node]) -> bool:
    """Return whether statements or expressions write prose of their own; the words of an error are none."""
    todo: list[nodes.Node] = list(parts)
    while todo:
        node = todo.pop()
        match node:
            case nodes.Call(node=nodes.Name(name="raise_exception")) | nodes.Compare():
                continue
            case nodes.TemplateData(data=str(text)) | nodes.Const(value=str(text)) if is_prose(text):
                return True
            case nodes.If():
                todo += [*node.body, *node.elif_, *node.else_]
            case _:
                todo += list(node.iter_child_nodes())
    return False
