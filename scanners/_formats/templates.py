"""Chat templates of a subject, read as Jinja syntax trees: what they reach for, and what their output hangs on.

Made from text; read by ``scanners.chat_template``. Nothing is rendered, and nothing is evaluated: constants are folded by
this module's own few rules.

Source:
    Jinja 3.1 template designer documentation; transformers ``utils/chat_template_utils.py`` (globals, ``generation`` tag);
    CVE-2024-34359, CVE-2026-5760 for what an escape does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from governance.subject import Noun
from scanners._formats.tables import table
from scanners._formats.template_flow import content_branches, fold, set_constants

Kind = Literal["escape", "unknown", "content", "hidden"]

_LIMIT = 1_000_000
_TABLE: dict[str, str] = table("templates")
_FILTERS, _METHODS, _GLOBALS, _LEAKY, _BY_ATTRIBUTE = (
    frozenset(_TABLE[key].split()) for key in ("filters", "methods", "globals", "leaky", "by-attribute")
)
_FOREIGN = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.ContextReference, nodes.EnvironmentAttribute)
_ENCODED = re.compile(r"[A-Za-z0-9+/]{48,}={0,2}")
_ORDER = re.compile(
    r"\b(ignore|disregard|forget|override)\b.{0,40}\b(previous|prior|above|safety|earlier)\b.{0,20}\binstructions?\b", re.IGNORECASE
)
_FORMAT_ACCESS = re.compile(r"\{[^{}]*[.\[]\s*_|\{[^{}]*__")


class Remark(Noun):
    """One thing seen in a template."""

    kind: Kind
    what: str
    line: int = 0
    certain: bool = True


class TemplateReview(Noun):
    """One template's review; ``problem`` says why there is none."""

    remarks: tuple[Remark, ...] = ()
    problem: str = ""


class _Generation(Extension):
    """The ``generation`` block of transformers, taken as its body."""

    tags = {"generation"}  # noqa: RUF012 - the name and shape Jinja asks for

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the statements inside the block."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


_JINJA = Environment(extensions=["jinja2.ext.loopcontrols", _Generation], trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - only parses


def parse(source: str) -> nodes.Template | str:
    """Return a template's syntax tree, or why there is none."""
    if len(source) > _LIMIT:
        return f"{len(source)} characters of template are more than is read"
    try:
        return _JINJA.parse(source)
    except TemplateSyntaxError as error:
        return f"line {error.lineno}: {error.message}"
    except RecursionError:
        return "nested too deeply"
    except (ValueError, OverflowError) as error:
        return f"cannot be read: {error}"


def review(source: str) -> TemplateReview:
    """Return what is remarkable about a template.

    Args:
        source: The template's text.
    """
    hidden = tuple(_hidden(source))
    tree = parse(source)
    if isinstance(tree, str):
        return TemplateReview(remarks=hidden, problem=tree)
    try:
        constants = set_constants(tree)
        remarks = (*_escapes(tree, constants), *_unknown(tree, constants), *_branches(tree, constants), *_hidden_constants(tree))
    except RecursionError:
        return TemplateReview(remarks=hidden, problem="nested too deeply")
    return TemplateReview(remarks=tuple(dict.fromkeys((*remarks, *hidden))))


def _branches(tree: nodes.Template, constants: dict[str, str]) -> Iterator[Remark]:
    for line, what, certain in content_branches(tree, constants, frozenset(_TABLE["markers"].split())):
        yield Remark(kind="content", what=what, line=line, certain=certain)


def _escapes(tree: nodes.Template, constants: dict[str, str]) -> Iterator[Remark]:
    for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Call)):
        for name in _reached(node, constants):
            if any(part.startswith("_") for part in name.split(".")):
                yield Remark(kind="escape", what=f"reaches for {name!r}", line=node.lineno)
        if isinstance(node, nodes.Getattr | nodes.Getitem) and isinstance(node.node, nodes.Name) and node.node.name in _LEAKY:
            yield Remark(kind="escape", what=f"reaches into {node.node.name!r}", line=node.lineno)
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and node.node.attr in ("format", "format_map"):
            text = fold(node.node.node, constants)
            if text and _FORMAT_ACCESS.search(text):
                yield Remark(kind="escape", what=f"formats with {text[:60]!r}", line=node.lineno)


def _reached(node: nodes.Node, constants: dict[str, str]) -> Iterator[str]:
    """Yield the attribute or item names a node reaches for, as far as they are constant."""
    match node:
        case nodes.Getattr():
            yield node.attr
        case nodes.Getitem():
            yield from filter(None, [fold(node.arg, constants)])
        case nodes.Filter() if node.name in _BY_ATTRIBUTE:
            arguments = [*node.args, *(k.value for k in node.kwargs)]
            yield from (text for a in arguments if (text := fold(a, constants)))
        case _:
            return


def _unknown(tree: nodes.Template, constants: dict[str, str]) -> Iterator[Remark]:
    own = {m.name for m in tree.find_all(nodes.Macro)}
    for node in tree.find_all(nodes.Node):
        match node:
            case nodes.Filter() if node.name not in _FILTERS:
                yield Remark(kind="unknown", what=f"filter {node.name!r}", line=node.lineno)
            case nodes.Filter(name="map") if node.args and fold(node.args[0], constants) == "attr":
                yield Remark(kind="unknown", what="filter 'attr', by way of map", line=node.lineno)
            case nodes.Call(node=nodes.Name(name=name)) if name not in _GLOBALS | own:
                yield Remark(kind="unknown", what=f"function {name!r}", line=node.lineno)
            case nodes.Call(node=nodes.Getattr(attr=attr)) if attr not in _METHODS:
                yield Remark(kind="unknown", what=f"method {attr!r}", line=node.lineno)
            case nodes.Call(node=nodes.Getitem()):
                yield Remark(kind="unknown", what="a call of something looked up by item", line=node.lineno)
            case nodes.Getitem() if _built(node.arg) and fold(node.arg, constants) is None:
                yield Remark(kind="unknown", what="an item name built at run time", line=node.lineno)
            case _ if isinstance(node, _FOREIGN):
                yield Remark(kind="unknown", what=f"tag {type(node).__name__.lower()!r}", line=node.lineno)
            case _:
                pass


def _built(node: nodes.Node) -> bool:
    """Return whether a name is put together from text."""
    if isinstance(node, nodes.Concat):
        return True
    if isinstance(node, nodes.Add | nodes.Mod):
        return any(isinstance(c.value, str) for c in node.find_all(nodes.Const))
    return isinstance(node, nodes.Filter) and node.name in ("join", "replace", "reverse", "format")


def _hidden(text: str) -> Iterator[Remark]:
    for number, line in enumerate(text.splitlines(), start=1):
        seen = {c for c in line if _invisible(c)}
        for character in sorted(seen):
            name = unicodedata.name(character, "unnamed")
            yield Remark(kind="hidden", what=f"U+{ord(character):04X} {name}", line=number)


def _hidden_constants(tree: nodes.Template) -> Iterator[Remark]:
    """Yield invisible characters that the source writes as escapes, encoded blocks, and orders to the model."""
    for node in tree.find_all((nodes.Const, nodes.TemplateData)):
        text = node.value if isinstance(node, nodes.Const) else node.data if isinstance(node, nodes.TemplateData) else None
        if not isinstance(text, str):
            continue
        yield from (r.model_copy(update={"line": node.lineno}) for r in _hidden(text))
        for block in _ENCODED.findall(text):
            if len(set(block)) > 12 and not block.islower() and not block.isupper():
                yield Remark(kind="hidden", what=f"an encoded block of {len(block)} characters", line=node.lineno)
        if match := _ORDER.search(text):
            yield Remark(kind="hidden", what=f"an order to the model, {match[0][:80]!r}", line=node.lineno)


def _invisible(character: str) -> bool:
    """Return whether a character shows nothing or turns the direction of text; soft line ends and tabs do neither."""
    return ord(character) > 127 and unicodedata.category(character) == "Cf" and character != "\u00ad"
