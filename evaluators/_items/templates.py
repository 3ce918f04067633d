"""Prompts of one's own: a text with names of fields in braces, and nothing that could be run.

    Question: {question}
    {choices}
    Answer:

A name is a plain word; attributes, indices, conversions and formats are refused, so a template can only place texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Formatter

from pydantic import JsonValue

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


def fields(template: str) -> list[str | tuple[str, str]]:
    """Return the pieces of a template: texts, and names as (name, text before it).

    Args:
        template: With names in braces; two braces stand for one.

    Raises:
        ValueError: It is no such template; the message says what is wrong.
    """
    found: list[str | tuple[str, str]] = []
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"the prompt is no template: {error} (write {{{{ for a brace)") from error
    for before, name, spec, conversion in pieces:
        if name is None:
            found.append(before)
        elif spec or conversion or not _NAME.match(name):
            raise ValueError(f"the prompt asks for {{{name}}}: only plain names of fields can be used in braces")
        else:
            found.append((name, before))
    return found


def fill(template: str, values: Mapping[str, JsonValue]) -> str:
    """Return a template with its names replaced by texts or numbers.

    Args:
        template: See ``fields``.
        values: By name.

    Raises:
        ValueError: A name is not there, or no text.
    """
    made: list[str] = []
    for piece in fields(template):
        if isinstance(piece, str):
            made.append(piece)
            continue
        name, before = piece
        value = values.get(name)
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            have = ", ".join(k for k, v in values.items() if isinstance(v, (str, int, float)))
            raise ValueError(f"the prompt asks for {{{name}}}, which the item does not have as a text; it has: {have}")
        made += (before, str(value).strip())
    return "".join(made)
