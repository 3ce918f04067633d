"""Where a subject keeps its prompt templates: any JSON or YAML document, template files, GGUF metadata, Ollama's Modelfile.

A place is told by what stands in it, not by its name alone. Read by ``scanners.chat_template``.

Source:
    transformers ``utils/hub.py`` and ``tokenization_utils_base.py`` (file names, named templates); GGUF specification, keys
    ``tokenizer.chat_template``; Ollama documentation of the Modelfile.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from governance.context import Limits
from governance.errors import SubjectError
from scanners._formats.documents import parse_yaml
from scanners._formats.tensors.gguf import read_gguf
from scanners._formats.tree import Content

_TEXT_LIMIT = 4 << 20
_MOST, _DEPTH = 200, 24
#: Tags of Jinja; braces alone stand in much other text.
_JINJA = re.compile(r"\{%[-+]?\s{0,20}(?:if|for|set|macro|generation|include|import|from|extends|block|filter|call|raw|do|with)\b")
#: What a document with a template has in its bytes: a tag, a telling key before text, or a letter that is spelt as an escape.
_WORTH = (
    re.compile(rb"\{%[-+]?\s{0,20}(?:if|for|set|macro|generation|include|import|from|extends|block|filter|call|raw|do|with)\b"),
    re.compile(rb"emplates?[\"']?\s{0,20}:\s{0,20}[\"'\[{>|]"),
    re.compile(rb"jinja2?[\"']?\s{0,20}:\s{0,20}[\"'\[{>|]"),
    re.compile(rb"\\u00(?:25|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9abdABD])"),
)
_KEYS = re.compile(r"(?:\A|_|-|\b)(?:chat_?templates?|templates?|jinja|prompt_?template)\Z", re.IGNORECASE)
_GO = re.compile(r"^\s{0,8}TEMPLATE\s+(?:\"\"\"(.*?)\"\"\"|\"([^\"\n]*)\"|([^\n]+))", re.MULTILINE | re.DOTALL | re.IGNORECASE)
_FROM = re.compile(r"^\s{0,8}FROM\s+\S", re.MULTILINE | re.IGNORECASE)
_FILES = re.compile(r"\.(?:jinja2?|j2)(?:\.|\Z)", re.IGNORECASE)
_FOLDERS = ("chat_templates", "additional_chat_templates")
_PROSE = (".md", ".html", ".htm", ".rst", ".csv", ".tsv", ".log", ".ipynb", ".jsonl")


@dataclass(frozen=True)
class Place:
    """One template and where it stands.

    Attributes:
        content: The file or member.
        text: The template.
        name: ``default``, or the name it is asked for by.
        key: Its key in a document.
        language: ``jinja`` or ``go``.
    """

    content: Content
    text: str
    name: str = "default"
    key: str | None = None
    language: str = "jinja"


@dataclass
class Places:
    """Templates of one content, and why it may hold others that were not read."""

    found: list[Place] = field(default_factory=list)
    gap: str = ""


class _Pairs(list[tuple[str, object]]):
    """An object with every key as often as it is written."""


def places(content: Content, limits: Limits) -> Places:
    """Return the templates that stand in some content itself, not in what lies inside it.

    Args:
        content: A file or member.
        limits: ``header_bytes`` is the ceiling for GGUF metadata, ``document_bytes`` for a document.
    """
    if content.kind == "gguf":
        return _in_gguf(content, limits)
    named = bool(_FILES.search(content.name)) or _folder(content) in _FOLDERS
    if content.kind not in ("json", "text", "python", "shell") or (content.kind in ("python", "shell") and not named):
        return Places(gap="its name says template, its content is none" if named and content.kind != "empty" else "")
    if content.size > (_TEXT_LIMIT if named or content.kind != "json" else limits.document_bytes):
        worth = named or (content.kind == "json" and ("config" in content.name.lower() or "template" in content.name.lower()))
        return Places(gap=f"{content.size:,} bytes are more than is read" if worth else "")
    data = content.read(limits.document_bytes)
    if data is None:
        return Places(gap="it cannot be read")
    if not named and not (b"TEMPLATE" in data or any(worth.search(data) for worth in _WORTH)):
        return Places()
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    if content.suffix in (".ipynb", ".py") and not named:  # no loader looks there for one; the code itself is read elsewhere
        return Places()
    if (content.kind == "json" or content.suffix == ".json") and not named:
        return _in_json(content, text)
    if named:
        stem = re.split(_FILES, content.name, maxsplit=1)[0]
        name = "default" if stem.lower() in ("chat_template", "default", "") else stem[:60]
        return Places([Place(content, text, name)])
    if _FROM.search(text) and (content.name.lower().startswith("modelfile") or "TEMPLATE" in text) and "{{" in text:
        found = [next(g for g in match.groups() if g is not None) for match in _GO.finditer(text)]
        return Places([Place(content, t, "default", "TEMPLATE", "go") for t in found[:_MOST]])
    if content.suffix in (".yaml", ".yml"):
        return _in_yaml(content, text)
    if _JINJA.search(text) and content.suffix not in _PROSE and re.search(r"\bmessages?\b|bos_token|add_generation_prompt", text):
        return Places([Place(content, text)])
    return Places()


def _folder(content: Content) -> str:
    parts = (content.entry[-1] if content.entry else content.path).replace("\\", "/").split("/")
    return parts[-2] if len(parts) > 1 else ""


def _in_gguf(content: Content, limits: Limits) -> Places:
    try:
        with content.open() as stream:
            file = read_gguf(stream, content.size, limits)
    except (OSError, SubjectError):
        return Places(gap="it cannot be read")
    made = Places(gap=file.gap)
    for key, value in file.metadata.items():
        if isinstance(value, str) and ("chat_template" in key or _JINJA.search(value)):
            name = key.partition("chat_template.")[2] or "default"
            made.found.append(Place(content, value, name[:60], key[:120]))
    return made


def _in_json(content: Content, text: str) -> Places:
    try:
        value = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        if _JINJA.search(text) and '"' not in text.lstrip()[1:4]:
            return Places([Place(content, text)])
        telling = "chat_template" in text or bool(_JINJA.search(text))
        return Places(gap=f"it may hold a template and cannot be parsed: {type(error).__name__}" if telling else "")
    return Places(list(_walk(content, value)))


def _in_yaml(content: Content, text: str) -> Places:
    document = parse_yaml(text)
    if document.value is None:
        return Places(gap="it may hold a template and cannot be parsed" if _JINJA.search(text) else "")
    return Places(list(_walk(content, document.value)))


def _walk(content: Content, value: object) -> Iterator[Place]:
    """Yield the templates of a document: texts under a telling key, and any text with tags of Jinja in it."""
    todo: list[tuple[tuple[str, ...], object, str, int]] = [((), value, "default", 0)]
    count = 0
    while todo and count < _MOST:
        path, inner, name, depth = todo.pop()
        match inner:
            case str() if _is_template(path, inner):
                count += 1
                yield Place(content, inner, name, ".".join(path)[:120] or None)
            case dict() | _Pairs() if depth < _DEPTH:
                pairs = [(str(k), v) for k, v in (inner.items() if isinstance(inner, dict) else inner)]
                if path[-1:] == ("vocab",):
                    continue
                given = next((v for k, v in pairs if k == "name" and isinstance(v, str)), "")
                for key, child in reversed(pairs):
                    below = given if given and key == "template" else key if path and _KEYS.search(path[-1]) else name
                    todo.append(((*path, key[:60]), child, (below or "default")[:60], depth + 1))
            case list() if depth < _DEPTH and path[-1:] != ("merges",):
                todo += [(path, child, name, depth + 1) for child in reversed(inner) if isinstance(child, str | list | dict)]
            case _:
                pass


def _is_template(path: tuple[str, ...], text: str) -> bool:
    if _JINJA.search(text):
        return True
    return "{{" in text and "}}" in text and any(_KEYS.search(p) for p in path)
