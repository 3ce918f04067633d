"""Configurations read suspiciously: JSON, YAML and TOML with every value any reader would see, and what readers disagree about.

Objects become ``Pairs``, so that a key that occurs twice keeps both values: one loader takes the first, another the last. Read by
``scanners.config_fields``.

Source:
    RFC 8259, sections 4 and 8.1; YAML 1.2.2, section 3.2.1; TOML 1.0.
"""

from __future__ import annotations

import codecs
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import yaml

from scanners._formats.documents import is_lfs_pointer

Form = Literal["json", "yaml", "toml"]
Path = tuple[str, ...]
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_ASSIGNS = re.compile(r"\s*(?:- )?[\"']?[A-Za-z_][\w.\-/]*[\"']?\s*[:=](?:\s|\Z)")
_PIECE, _STRING = re.compile(r'"|//|/\*|#'), re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_DEEPEST = 64
_LENIENT_BYTES = 1 << 20
_YAML_BYTES = 1 << 20
_SHADOWED = 50


class Pairs(tuple[tuple[str, object], ...]):
    """An object's members in order, repeated keys included."""

    __slots__ = ()


@dataclass(frozen=True)
class Configuration:
    """What a document says, to all of its readers.

    Attributes:
        form: How it is written.
        value: ``Pairs``, lists and scalars; None if nobody can read it.
        ambiguous: Why two readers would have two documents, each with whether it matters everywhere.
        unreadable: Why no reader has one; empty if one has.
        tags: YAML tags that are not the schema's own, with their values.
        depth: Levels of nesting.
    """

    form: Form
    value: object = None
    ambiguous: tuple[tuple[str, bool], ...] = ()
    unreadable: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    depth: int = 0


@dataclass
class _Notes:
    ambiguous: list[tuple[str, bool]] = field(default_factory=list)

    def pairs(self, pairs: list[tuple[str, object]]) -> Pairs:
        if len(pairs) > 1 and len(self.ambiguous) < _SHADOWED:
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    self.say(f"the key {key[:60]!a} occurs more than once in one object")
                seen.add(key)
        return Pairs(pairs)

    def constant(self, name: str) -> float:
        self.say(f"{name} is no JSON number", everywhere=False)
        return float(name.replace("Infinity", "inf"))

    def number(self, text: str) -> float:
        value = float(text)
        if value in (float("inf"), float("-inf")):
            self.say(f"the number {text[:40]} is larger than readers can hold")
        return value

    def say(self, words: str, *, everywhere: bool = True) -> None:
        if (words, everywhere) not in self.ambiguous:
            self.ambiguous.append((words, everywhere))


def read_configuration(data: bytes, name: str) -> Configuration | None:
    """Return what bytes say as a configuration; None if they are none.

    Args:
        data: A whole document.
        name: Its file name: what its author says it is.
    """
    if not data.strip() or is_lfs_pointer(data):
        return None
    suffix = "." + name.rsplit(".", 1)[-1].lower() if "." in name else ""
    notes = _Notes()
    try:
        text = _decoded(data, notes)
    except UnicodeDecodeError as error:
        return Configuration("json", unreadable=f"it is not UTF-8: {error.reason}") if suffix == ".json" else None
    start = text.lstrip()[:1]
    if suffix == ".toml":
        return _toml(text, notes)
    if suffix in (".yaml", ".yml") or name == "MLmodel":
        return _yaml(text, notes)
    if suffix == ".json" or start in ("{", "["):
        found = _json(text, notes)
        return found if suffix == ".json" or not found.unreadable else None
    return _yaml(text, notes) if _looks_assigned(text) and suffix not in (".md", ".txt", ".log", ".py", ".jinja") else None


def fields(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Yield the path and value of everything in a document, objects and lists included; what lies too deep is left out."""
    waiting: list[tuple[Path, object]] = [(path, value)]
    while waiting:
        where, what = waiting.pop()
        if where:
            yield where, what
        if len(where) >= _DEEPEST:
            continue
        if isinstance(what, Pairs):
            waiting.extend(((*where, key), inner) for key, inner in reversed(what))
        elif isinstance(what, list):
            waiting.extend(((*where, str(at)), inner) for at, inner in reversed(list(enumerate(what))))


def _decoded(data: bytes, notes: _Notes) -> str:
    for mark, encoding, words in _BOMS:
        if data.startswith(mark):
            notes.say(f"it is {words}, which some readers refuse and others read")
            return data.decode(encoding)
    if b"\0" in data[:4]:
        found = json.detect_encoding(data)
        notes.say(f"it is {found.upper()}, which some readers refuse and others read")
        return data.decode(found)
    return data.decode("utf-8")


def _json(text: str, notes: _Notes) -> Configuration:
    try:
        value: object = json.loads(
            text, object_pairs_hook=notes.pairs, parse_constant=notes.constant, parse_float=notes.number, strict=True
        )
    except RecursionError:
        return Configuration("json", unreadable="it is nested too deeply to be read", depth=_DEEPEST + 1)
    except ValueError as error:
        lenient = _lenient(text) if len(text) <= _LENIENT_BYTES else None
        try:
            value = json.loads(lenient, object_pairs_hook=notes.pairs, strict=False) if lenient is not None else None
        except (ValueError, RecursionError):
            value = None
        if value is None:
            lines = [line for line in text.split("\n") if line.strip()]
            if len(lines) > 1 and lines[0].lstrip().startswith("{") and lines[0].rstrip().endswith("}"):
                return Configuration("json", unreadable="it is one document for each line")
            return Configuration("json", unreadable=f"it is not JSON: {str(error)[:120]}")
        notes.say("it has comments, trailing commas or raw control characters: strict readers refuse it, others read on")
    return Configuration("json", value, tuple(notes.ambiguous), depth=_depth(value))


def _lenient(text: str) -> str:
    """Return text without comments and trailing commas, as lenient readers take it."""
    out, place, open_ended = list[str](), 0, False
    while found := _PIECE.search(text, place):
        at, mark = found.start(), found[0]
        out.append(text[place:at])
        if mark == '"':
            closed = _STRING.match(text, at)
            if closed is None:
                return text
            out.append(closed[0])
            place = closed.end()
            continue
        end = text.find("*/" if mark == "/*" else "\n", at + 2) if not (open_ended and mark == "/*") else -1
        open_ended = open_ended or (mark == "/*" and end < 0)
        place = len(text) if end < 0 else end + (2 if mark == "/*" else 0)
    out.append(text[place:])
    joined = "".join(out)
    parts = re.split(r'("(?:[^"\\]|\\.)*")', joined)
    return "".join(part if at % 2 else re.sub(r",(?=\s*[}\]])", "", part) for at, part in enumerate(parts))


def _yaml(text: str, notes: _Notes) -> Configuration:
    """Return YAML from its events: aliases are not expanded, tags are noted, nothing is constructed."""
    if len(text) > _YAML_BYTES:
        return Configuration("yaml", unreadable=f"{len(text):,} characters of YAML are more than is read")
    tags: list[tuple[str, str]] = []
    stack: list[tuple[bool, list[object]]] = [(False, [])]
    deepest = documents = 0
    try:
        for event in yaml.parse(text, Loader=_PARSER):
            tag = getattr(event, "tag", None)
            if (tag and not str(tag).startswith("tag:yaml.org,2002:")) or (tag and "python" in str(tag)):
                tags.append((str(tag), str(getattr(event, "value", ""))[:200]))
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    stack.append((isinstance(event, yaml.MappingStartEvent), []))
                    deepest = max(deepest, len(stack))
                    if len(stack) > 1000:
                        return Configuration("yaml", unreadable="it is nested too deeply to be read", depth=len(stack))
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    mapping, items = stack.pop()
                    pairs = [(str(k), v) for k, v in zip(items[::2], items[1::2], strict=False)]
                    stack[-1][1].append(notes.pairs(pairs) if mapping else items)
                case yaml.ScalarEvent(value=str(value)):
                    stack[-1][1].append(value if event.style in ("'", '"') else _scalar(value))
                case yaml.AliasEvent():
                    stack[-1][1].append(None)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        words = " ".join(str(error).split())[:160]
        return Configuration("yaml", unreadable=f"it is not YAML: {words}", tags=tuple(tags))
    if documents > 1:
        notes.say(f"it holds {documents} documents: some readers take the first only", everywhere=False)
    whole: object = stack[0][1][0] if documents == 1 and stack[0][1] else stack[0][1]
    return Configuration("yaml", whole, tuple(notes.ambiguous), tags=tuple(tags), depth=deepest)


def _toml(text: str, notes: _Notes) -> Configuration:
    try:
        value = _paired(tomllib.loads(text))
    except (ValueError, RecursionError) as error:
        return Configuration("toml", unreadable=f"it is not TOML: {str(error)[:120]}")
    return Configuration("toml", value, tuple(notes.ambiguous), depth=_depth(value))


def _paired(value: object) -> object:
    if isinstance(value, Mapping):
        return Pairs((str(k), _paired(v)) for k, v in value.items())
    return [_paired(v) for v in value] if isinstance(value, list) else value


def _scalar(text: str) -> object:
    """Return what a plain YAML scalar is: a truth value, a number, nothing, or itself."""
    low = text.lower()
    if low in ("true", "yes", "on", "false", "no", "off"):
        return low in ("true", "yes", "on")
    if low in ("", "~", "null"):
        return None
    if re.fullmatch(r"[-+]?[0-9]{1,400}", text):
        return int(text)
    return float(text) if re.fullmatch(r"[-+]?[0-9]{1,40}(\.[0-9]{0,40})?(e[-+]?[0-9]{1,6})?", low) else text


def _looks_assigned(text: str) -> bool:
    """Return whether most lines of a text give a key a value."""
    lines = [line for line in text[:20_000].split("\n") if line.strip() and not line.lstrip().startswith("#")]
    return len(lines) > 1 and sum(bool(_ASSIGNS.match(line)) for line in lines) > 0.6 * len(lines)


def _depth(value: object) -> int:
    deepest, level = 0, [value]
    while level and deepest <= _DEEPEST:
        deepest += 1
        level = [
            inner
            for v in level
            for inner in ((m for _, m in v) if isinstance(v, Pairs) else v if isinstance(v, list) else ())
            if isinstance(inner, Pairs | list)
        ]
    return deepest
