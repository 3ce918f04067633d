"""A YAML text that remembers where everything stood, so that every fault can be shown at its place.

Made and read by ``policies.loader``. Stricter than YAML: no aliases, no tags, no duplicate keys, one document, bounded. Plain
scalars are read as YAML 1.2 does (``no`` and ``on`` are text); dates stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

import yaml

from governance.errors import PolicyError

MAX_BYTES = 256 * 1024
_MAX_DEPTH = 32
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?\Z")
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """Where a value starts: zero-based line and column, and the node it came from."""

    line: int
    column: int
    style: str | None = None
    one_line: bool = True


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, with its code."""

    code: str
    message: str
    place: Place
    note: str = ""


@dataclass
class Source:
    """The text of one document.

    Args:
        name: As messages show it.
        text: YAML.
    """

    name: str
    text: str
    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)

    def read(self) -> Value:
        """Return the document as plain values and note every place.

        Raises:
            PolicyError: It is no acceptable YAML; the message shows where.
        """
        if len(self.text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            raise self.error([Fault("P001", f"the file is larger than {MAX_BYTES // 1024} KiB", Place(0, 0))])
        try:
            self._refuse_tricks()
            node = yaml.compose(self.text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = Place(mark.line, mark.column) if mark else Place(0, 0)
            raise self.error([Fault("P001", f"not YAML: {error.problem or error.context}", place)]) from None
        except yaml.YAMLError as error:
            raise self.error([Fault("P001", f"not YAML: {' '.join(str(error).split())}", Place(0, 0))]) from None
        return self._value(node, ()) if node is not None else None

    def _refuse_tricks(self) -> None:
        depth = documents = 0
        for event in yaml.parse(self.text, Loader=yaml.SafeLoader):
            mark = event.start_mark
            place = Place(mark.line, mark.column) if mark else Place(0, 0)
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise self.error([Fault("P001", "anchors and aliases are not allowed: write the value out", place)])
            if tag := getattr(event, "tag", None):
                raise self.error([Fault("P001", f"tags such as {tag} are not allowed", place)])
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            documents += isinstance(event, yaml.DocumentStartEvent)
            if depth > _MAX_DEPTH:
                raise self.error([Fault("P001", f"nested deeper than {_MAX_DEPTH} levels", place)])
            if documents > 1:
                raise self.error([Fault("P001", "a file holds one document", place)])

    def _value(self, node: yaml.Node, path: Path) -> Value:
        start, end = node.start_mark, node.end_mark
        style = node.style if isinstance(node, yaml.ScalarNode) else None
        self.values[path] = Place(start.line, start.column, style, start.line == end.line)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*path, i)) for i, child in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        return str(node.value) if style else _plain(str(node.value))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Value:
        found: dict[str, Value] = {}
        for key, value in node.value:
            place = Place(key.start_mark.line, key.start_mark.column)
            if not isinstance(key, yaml.ScalarNode):
                raise self.error([Fault("P001", "a key is a word", place)])
            if key.value in found:
                raise self.error([Fault("P001", f"the key {key.value!r} is written twice", place)])
            self.keys[(*path, key.value)] = place
            found[key.value] = self._value(value, (*path, key.value))
        return found

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Return where a value (or its key) stands; of the nearest parent if it is not in the text."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place(0, 0))

    def inside(self, place: Place, offset: int, value: str) -> Place | None:
        """Return the place of a character of a scalar's value, or None if folding or escapes hid it.

        Args:
            place: Where the scalar starts.
            offset: Characters into its value, from 0.
            value: The scalar's value.
        """
        if not place.one_line or place.style in ("|", ">"):
            return self._inside_lines(place, offset, value)
        raw = self._line(place.line)[place.column :]
        if place.style is None:
            return Place(place.line, place.column + offset)
        at = 1
        for _ in range(offset):
            if place.style == '"' and raw[at : at + 1] == "\\":
                if raw[at + 1 : at + 2] in ("x", "u", "U"):
                    return None
                at += 1
            elif place.style == "'" and raw[at : at + 2] == "''":
                at += 1
            at += 1
        return Place(place.line, place.column + at)

    def _inside_lines(self, place: Place, offset: int, value: str) -> Place | None:
        """Return the place in a scalar of several lines, if its lines, trimmed and joined, are its value."""
        if place.style in ("'", '"'):
            return None
        number, at = place.line + (place.style is not None), 0
        while at <= len(value):
            text = self._line(number)
            start = place.column if number == place.line else len(text) - len(text.lstrip())
            content = text[start:].rstrip()
            if not content or not value.startswith(content, at):
                return None
            if offset < at + len(content):
                return Place(number, start + offset - at)
            at += len(content) + 1
            number += 1
        return None

    def _line(self, number: int) -> str:
        lines = _BREAK.split(self.text)
        return lines[number] if number < len(lines) else ""

    def error(self, faults: Iterable[Fault], *, hint: str = "") -> PolicyError:
        """Return one error that shows every fault with its line and a caret, first place first."""
        ordered = sorted(faults, key=lambda f: (f.place.line, f.place.column))
        first = ordered[0].place
        return PolicyError("\n".join(self.shown(f) for f in ordered), hint=hint, line=first.line + 1, column=first.column + 1)

    def shown(self, fault: Fault) -> str:
        """Return ``file:line:column: error[code] message``, the line, and a caret under the place."""
        line, column = fault.place.line, fault.place.column
        head = f"{self.name}:{line + 1}:{column + 1}: error[{fault.code}] {fault.message}"
        text = self._line(line)
        lead = "".join(c if c == "\t" else " " for c in text[:column])
        caret = f"{lead}^ {fault.note}".rstrip()
        return f"{head}\n{line + 1:5d} | {_printable(text)}\n      | {caret}"


def _plain(text: str) -> Value:
    """Return a plain scalar's value by YAML 1.2's core schema, without its octal and special numbers."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return int(text) if len(text) < 20 else text
    return float(text) if _FLOAT.match(text) else text


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return the known word that looks most like a word, in a list, or nothing."""
    return get_close_matches(word, sorted(known), n=1, cutoff=0.6)


def meant(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean '…'?`` for the nearest known word, or nothing."""
    near = nearest(word, known)
    return f"; did you mean '{near[0]}'?" if near else ""
