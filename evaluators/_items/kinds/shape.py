"""What a kind is, and what its readers share: fields taken out of an item with an error that says which one is wrong.

A reader turns an item into plain fields of ours. The text of an item is only ever a value of a field that lm-eval takes as it
is; no reader hands text of a file to lm-eval as a template, because its templates can run code.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from evaluators._items.tasks import Document
from evaluators._items.templates import fill

Item = Mapping[str, JsonValue]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ACCURACY = ({"metric": "acc", "aggregation": "mean", "higher_is_better": True},)
#: Where a written answer ends, and how long it may be.
SHORT = {"until": ["\n", "Question:"], "max_gen_toks": 48, "do_sample": False}


class ItemError(ValueError):
    """An item is not of its kind; the message says what is wrong with it."""


@dataclass(frozen=True)
class How:
    """What a suite or a manifest says about reading.

    Attributes:
        prompt: Text with fields of the item in braces; empty: the kind's own.
        answers: ``letters``: choices are listed and the letter is scored; ``texts``: the choices are scored.
        tolerance: Largest relative error of a number that counts as right.
    """

    prompt: str = ""
    answers: str = "letters"
    tolerance: float = 0.005


@dataclass(frozen=True)
class Way:
    """One way to ask the items of a file.

    Attributes:
        definition: lm-eval's configuration, which names fields of ours and nothing else.
        score: Metric that scores one item.
        suffix: Of the task's name, where a file is asked in more than one way.
        pooled: Whether it counts for the number of its family, or stands beside it.
    """

    definition: Mapping[str, Any]
    score: str
    suffix: str = ""
    pooled: bool = True


@dataclass(frozen=True)
class Kind:
    """One kind.

    Attributes:
        read: Turns an item into what is asked.
        version: Changes with reading or prompt.
        ways: How it is asked as a skill; empty: it is none.
        clustered: Whether a line holds several items that share text.
        prompts: Whether a prompt of one's own may be given.
        elsewhere: Who reads it, where it is no skill.
    """

    read: Callable[[Item, How], list[Document]]
    version: str
    ways: tuple[Way, ...] = ()
    clustered: bool = False
    prompts: bool = False
    elsewhere: str = ""


@functools.cache
def known() -> Mapping[str, Kind]:
    """Return every kind by the name a manifest gives it, which is its module's."""
    package = __name__.rpartition(".")[0]
    folder = importlib.import_module(package)
    names = [m.name for m in pkgutil.iter_modules(folder.__path__)]
    modules = {name: importlib.import_module(f"{package}.{name}") for name in names}
    return {name: module.KIND for name, module in sorted(modules.items()) if isinstance(getattr(module, "KIND", None), Kind)}


def text_of(item: Item, name: str) -> str:
    """Return a field that must be a text with something in it.

    Raises:
        ItemError: It is not.
    """
    value = _field(item, name)
    if not isinstance(value, str) or not value.strip():
        raise ItemError(f"{name!r} must be a text, it is {_said(value)}")
    return value


def texts_of(item: Item, name: str) -> list[str]:
    """Return a field that must be a list of texts, each with something in it; numbers become texts.

    Raises:
        ItemError: It is not.
    """
    value = _field(item, name)
    if not isinstance(value, list):
        raise ItemError(f"{name!r} must be a list of texts, it is {_said(value)}")
    for number, entry in enumerate(value):
        if isinstance(entry, bool) or not isinstance(entry, (str, int, float)) or not str(entry).strip():
            raise ItemError(f"{name!r} must be a list of texts, entry {number} is {_said(entry)}")
    return [str(entry) for entry in value]


def objects_of(item: Item, name: str) -> list[Item]:
    """Return a field that must be a list of objects with at least one in it.

    Raises:
        ItemError: It is not.
    """
    value = _field(item, name)
    if not isinstance(value, list) or not value:
        raise ItemError(f"{name!r} must be a list of objects, it is {_said(value)}")
    found: list[Item] = []
    for number, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise ItemError(f"{name!r} must be a list of objects, entry {number} is {_said(entry)}")
        found.append(entry)
    return found


def choice_of(item: Item, name: str, choices: Sequence[str]) -> int:
    """Return which choice a field names: by number from 0, by letter from A, or by its text.

    Raises:
        ItemError: It names none, or two.
    """
    value = _field(item, name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ItemError(f"{name!r} must be the number, the letter or the text of a choice, it is {_said(value)}")
    if isinstance(value, int):
        if 0 <= value < len(choices):
            return value
        raise ItemError(f"{name!r} is {value}, but the {len(choices)} choices are counted from 0 to {len(choices) - 1}")
    word = value.strip()
    meant = {i for i, c in enumerate(choices) if c.strip() == word}
    if word.isascii() and word.isdigit() and int(word) < len(choices):
        meant.add(int(word))
    if len(word) == 1 and word.upper() in LETTERS[: len(choices)]:
        meant.add(LETTERS.index(word.upper()))
    if len(meant) != 1:
        raise ItemError(f"{name!r} is {word[:40]!r}, which names {'no choice' if not meant else 'more than one choice'}")
    return meant.pop()


def prompt_of(item: Item, how: How, own: str, **more: str) -> str:
    """Return the prompt: the kind's own, or the one that was given, filled with fields of the item.

    Args:
        item: Its fields may be named.
        how: May hold a prompt.
        own: The kind's.
        **more: Further names that may be used.

    Raises:
        ItemError: The prompt names what the item does not have.
    """
    if not how.prompt:
        return own
    try:
        return fill(how.prompt, {**item, **more})
    except ValueError as error:
        raise ItemError(str(error)) from error


def _field(item: Item, name: str) -> JsonValue:
    if item.get(name) is None:
        raise ItemError(f"it has no {name!r}; it has: {', '.join(map(repr, list(item)[:12]))}")
    return item[name]


def _said(value: JsonValue) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", type(None): "nothing", str: "an empty text"}
    return names.get(type(value), str(value)[:40])
