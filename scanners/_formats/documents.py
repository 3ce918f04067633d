"""Bounded, suspicious reading of JSON, YAML and model cards. Problems are values, never exceptions.

Read by every scanner that needs a configuration; a document's problems become findings there.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

import yaml

from governance.context import RunContext
from governance.errors import SubjectError
from governance.subject import Subject

_LFS = b"version https://git-lfs.github.com/spec/"
_FENCE = re.compile(r"^---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.MULTILINE | re.DOTALL)
_DEPTH = 64
_MAX_FRONT_MATTERS = 8
#: YAML is read slowly; a card's front matter is a page or two.
_FRONT_MATTER_CHARACTERS = 200_000
_FENCES = 200
_MOST_PROBLEMS = 50


@dataclass(frozen=True)
class Document:
    """What a file says, and what is odd about how it says it.

    Attributes:
        value: The parsed value; None if it cannot be parsed.
        problems: Each in words: duplicate keys, a byte order mark, NaN, too deep, too large, not JSON, an LFS pointer.
        pointer: Whether the file is a Git LFS pointer instead of its content.
    """

    value: object = None
    problems: tuple[str, ...] = ()
    pointer: bool = False

    @property
    def mapping(self) -> Mapping[str, object]:
        """The value if it is an object, else an empty one."""
        return self.value if isinstance(self.value, dict) else {}


@dataclass
class _Notes:
    problems: list[str] = field(default_factory=list)

    def pairs(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(pairs)
        if len(made) < len(pairs) and len(self.problems) < _MOST_PROBLEMS:
            twice = sorted(k for k, count in Counter(k for k, _ in pairs).items() if count > 1)
            self.problems += [f"the key {key[:60]!r} occurs more than once" for key in twice[:_MOST_PROBLEMS]]
        return made

    def constant(self, name: str) -> float:
        self.problems.append(f"{name} is no JSON number")
        return float(name.replace("Infinity", "inf"))


def is_lfs_pointer(head: bytes) -> bool:
    """Return whether a file's first bytes are those of a Git LFS pointer."""
    return head.startswith(_LFS)


def read_bytes(subject: Subject, name: str, ctx: RunContext, limit: int | None = None) -> bytes | None:
    """Return the bytes of a subject's file, or None if it is larger than allowed or cannot be read.

    Args:
        subject: Whose file.
        name: Its path.
        ctx: Opens it.
        limit: Most bytes; None: ``limits.document_bytes``.
    """
    limit = ctx.limits.document_bytes if limit is None else limit
    try:
        with ctx.open(subject, name) as stream:
            data = stream.read(limit + 1)
    except (OSError, SubjectError):
        return None
    return data if len(data) <= limit else None


def read_json(subject: Subject, name: str, ctx: RunContext) -> Document:
    """Read a JSON file of a subject strictly; what is wrong with it is told, not raised."""
    data = read_bytes(subject, name, ctx)
    if data is None:
        return Document(problems=(f"larger than {ctx.limits.document_bytes} bytes, or unreadable",))
    return parse_json(data)


def parse_json(data: bytes) -> Document:
    """Parse JSON bytes strictly; what is wrong with them is told, not raised."""
    if is_lfs_pointer(data):
        return Document(problems=("a Git LFS pointer stands in place of the content",), pointer=True)
    notes = _Notes()
    if data.startswith(b"\xef\xbb\xbf"):
        notes.problems.append("begins with a byte order mark")
        data = data[3:]
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=notes.pairs, parse_constant=notes.constant)
    except UnicodeDecodeError:
        return Document(problems=(*notes.problems, "is not UTF-8"))
    except RecursionError:
        return Document(problems=(*notes.problems, "is nested too deeply"))
    except ValueError as error:
        return Document(problems=(*notes.problems, f"is not JSON: {error}"))
    if _depth(value) > _DEPTH:
        notes.problems.append(f"is nested deeper than {_DEPTH}")
    return Document(value=value, problems=tuple(notes.problems))


def _depth(value: object) -> int:
    deepest, level = 0, [value]
    while level and deepest <= _DEPTH:
        deepest += 1
        level = [
            child
            for v in level
            for child in (v.values() if isinstance(v, dict) else v if isinstance(v, list) else ())
            if isinstance(child, dict | list)
        ]
    return deepest


class _NoAliases(yaml.SafeLoader):
    """YAML without aliases, which could grow without bound, and without timestamps."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases are not read", None)
        return super().compose_node(parent, index)


_NoAliases.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str) -> Document:
    """Parse YAML text without aliases; what is wrong with it is told, not raised."""
    try:
        return Document(value=yaml.load(text, Loader=_NoAliases))  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        return Document(problems=("is not YAML: " + " ".join(str(error).split())[:200],))
    except (RecursionError, ValueError) as error:
        return Document(problems=(f"is not YAML: {type(error).__name__}",))


def front_matters(text: str) -> tuple[Document, ...]:
    """Return each front matter of a model card, in order; honest cards have exactly one, at the start.

    Args:
        text: The card. A block between ``---`` lines counts if it parses to an object.
    """
    found = []
    for match in islice(_FENCE.finditer(text), _FENCES):
        if len(match.group(1)) > _FRONT_MATTER_CHARACTERS:
            found.append(Document(problems=(f"a front matter of {len(match.group(1)):,} characters is longer than is read",)))
            continue
        document = parse_yaml(match.group(1))
        if document.mapping or (match.start() == 0 and document.problems):
            found.append(document)
        if len(found) == _MAX_FRONT_MATTERS:
            break
    return tuple(found)
