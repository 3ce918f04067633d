"""Chat templates of a subject, read as Jinja syntax trees: what they reach for, and what their output hangs on.

Made from text; read by ``scanners.chat_template``. Nothing is rendered, and nothing is evaluated: constants are folded by
this package's own few rules.

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
from scanners._formats.templates.flow import Flow
from scanners._formats.templates.words import Grade, judge

Kind = Literal["escape", "unknown", "content", "hidden", "cost"]

#: Honest templates have up to 50,000 characters; the parser takes seconds for the rest.
_LIMIT = 150_000
#: No text or list of a prompt is filled up to this.
_WIDE = 1_000_000
_TABLE: dict[str, str] = table("templates")
_FILTERS, _TESTS, _METHODS, _GLOBALS, _LEAKY, _INTERNALS, _ROLES = (
    frozenset(_TABLE[key].split()) for key in ("filters", "tests", "methods", "globals", "leaky", "internals", "roles")
)
_ORDER_ROWS: dict[str, str] = table("template_orders")
_FOREIGN = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.ContextReference, nodes.EnvironmentAttribute)
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}|(?:\\x[0-9a-fA-F]{2}){12,}|(?:[0-9a-fA-F]{2}){24,}")
#: Text that orders the model about, by what it is for; each pattern looks at a bounded stretch.
_ORDERS = tuple((what, re.compile(pattern, re.IGNORECASE)) for what, pattern in _ORDER_ROWS.items())
_LINK = re.compile(r"\b(?:https?|ftp|wss?|data|file)://?[^\s'\"<>)\]]{3,120}", re.IGNORECASE)
_SCRIPT = re.compile(
    r"<\s*(?:script|iframe|object|embed|svg|img|form|meta)\b[^<>]{0,80}[>=]|\bjavascript:|\bon(?:error|load|click)\s*=",
    re.IGNORECASE,
)


class Remark(Noun):
    """One thing seen in a template."""

    kind: Kind
    what: str
    line: int = 0
    grade: Grade = "certain"


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


_JINJA = Environment(  # noqa: S701 - only parses
    extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do", _Generation], trim_blocks=True, lstrip_blocks=True
)


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
        return TemplateReview(remarks=(*hidden, *_literal(source, 1)), problem=tree)
    problem = ""
    remarks: list[Remark] = []
    flow = Flow()
    try:
        remarks += [*_names(tree), *_hidden_constants(tree)]
        flow.run(tree)
    except RecursionError:
        problem = "nested too deeply"
    remarks += [Remark.model_validate(vars(note)) for note in flow.notes]
    remarks += hidden
    return TemplateReview(remarks=tuple(dict.fromkeys(remarks)), problem=problem)


def _names(tree: nodes.Template) -> Iterator[Remark]:
    """Yield names that are written out, wherever they stand: also in parts nobody calls."""
    bound = {n.name for n in tree.find_all(nodes.Name) if n.ctx in ("store", "param")}
    own = {m.name for m in tree.find_all(nodes.Macro)}
    for node in tree.find_all(nodes.Node):
        match node:
            case nodes.Getattr(attr=attr) if attr.startswith("_") or attr in _INTERNALS:
                yield Remark(kind="escape", what=f"reaches for {attr[:60]!r}", line=node.lineno)
            case nodes.Getattr() | nodes.Getitem() if isinstance(node.node, nodes.Name) and node.node.name in _LEAKY - bound:
                yield Remark(kind="escape", what=f"reaches into {node.node.name!r}", line=node.lineno)
            case nodes.Filter(name=name) if name not in _FILTERS and name != "attr":
                yield Remark(kind="unknown", what=f"filter {name[:60]!r}", line=node.lineno)
            case nodes.Test(name=name) if name not in _TESTS:
                yield Remark(kind="unknown", what=f"test {name[:60]!r}", line=node.lineno)
            case nodes.Call(node=nodes.Name(name=name)) if name not in _GLOBALS | own:
                yield Remark(kind="unknown", what=f"function {name[:60]!r}", line=node.lineno)
            case nodes.Call(node=nodes.Getattr(attr=attr)) if attr not in _METHODS:
                yield Remark(kind="unknown", what=f"method {attr[:60]!r}", line=node.lineno)
            case nodes.Call(node=nodes.Getitem() | nodes.Filter() | nodes.Call()):
                yield Remark(kind="unknown", what="a call of something looked up", line=node.lineno)
            case nodes.Filter(
                name="center" | "indent" | "wordwrap" | "batch" | "slice", args=[nodes.Const(value=int(size)), *_]
            ) if size > _WIDE:
                yield Remark(kind="cost", what=f"a filter that makes {size:,} of something", line=node.lineno)
            case nodes.Pow():
                yield Remark(kind="cost", what="raises a number to a power", line=node.lineno)
            case nodes.Dict() if _is_tool(node):
                yield Remark(
                    kind="unknown", what="a tool of the template's own, which nobody who asks has offered", line=node.lineno
                )
            case nodes.Getitem(node=inner, arg=nodes.Slice(start=None, stop=nodes.Const(value=int(stop)))) if stop > 1 and _says(
                inner
            ):
                yield Remark(kind="unknown", what=f"the first {stop} characters of message content, and no more", line=node.lineno)
            case _ if isinstance(node, _FOREIGN):
                yield Remark(kind="unknown", what=f"tag {type(node).__name__.lower()!r}", line=node.lineno)
            case _:
                pass


def _is_tool(node: nodes.Dict) -> bool:
    """Return whether a dictionary is a tool's definition that is written out."""
    keys = {p.key.value for p in node.items if isinstance(p.key, nodes.Const)}
    named = any(isinstance(p.value, nodes.Const) for p in node.items if isinstance(p.key, nodes.Const) and p.key.value == "name")
    return named and bool(keys & {"parameters", "arguments", "description", "input_schema"})


def _says(node: nodes.Node) -> bool:
    """Return whether an expression is a message's content as it stands."""
    match node:
        case nodes.Getattr(attr="content") | nodes.Getitem(arg=nodes.Const(value="content")) | nodes.Name(name="content"):
            return True
        case _:
            return False


def _hidden(text: str) -> Iterator[Remark]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.isascii():
            continue
        for character in sorted({c for c in line if invisible(c)})[:20]:
            name = unicodedata.name(character, "unnamed")
            yield Remark(kind="hidden", what=f"U+{ord(character):04X} {name}", line=number)


def _hidden_constants(tree: nodes.Template) -> Iterator[Remark]:
    """Yield invisible characters that the source writes as escapes, encoded blocks, links, markup, and orders to the model."""
    for node in tree.find_all((nodes.Const, nodes.TemplateData)):
        text = node.value if isinstance(node, nodes.Const) else node.data if isinstance(node, nodes.TemplateData) else None
        if isinstance(text, str):
            yield from (r.model_copy(update={"line": node.lineno}) for r in _hidden(text))
            yield from _literal(text, node.lineno)


def _literal(text: str, line: int) -> Iterator[Remark]:
    for block in _ENCODED.findall(text):
        mixed = len(set(block)) > 12 and not block.islower() and not block.isupper() and any(c.isdigit() for c in block)
        if mixed or block.startswith("\\x") or (len(block) >= 48 and re.fullmatch(r"[0-9a-fA-F]+", block) and len(set(block)) > 6):
            yield Remark(kind="hidden", what=f"an encoded block of {len(block)} characters", line=line)
    for what, pattern in _ORDERS:
        if match := pattern.search(text):
            yield Remark(kind="hidden", what=f"{what}, {' '.join(match[0].split())[:80]!r}", line=line)
            break
    if match := _LINK.search(text):
        yield Remark(kind="hidden", what=f"an address, {match[0][:80]!r}", line=line, grade="weak")
    if match := _SCRIPT.search(text):
        yield Remark(kind="hidden", what=f"markup that a page runs, {match[0][:60]!r}", line=line)


def invisible(character: str) -> bool:
    """Return whether a character shows nothing or turns the direction of text; soft line ends and tabs do neither."""
    if character.isascii():
        return False
    point = ord(character)
    return (
        (unicodedata.category(character) == "Cf" and character != "\u00ad")
        or 0xFE00 <= point <= 0xFE0E
        or 0xE0100 <= point <= 0xE01EF
        or character in "\u115f\u1160\u3164\uffa0\u034f\u17b4\u17b5"
    )


_GO_ACTION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_GO_TEXT = re.compile(r"\"((?:[^\"\\]|\\.){1,400})\"|`([^`]{1,400})`")
_GO_COMPARING = re.compile(r"\b(?:eq|ne|lt|gt|le|ge|contains|hasPrefix|hasSuffix|index|slice|len)\b")
_GO_CONTENT = re.compile(r"\.(?:Content|Prompt|System|Response|Suffix)\b|\$\w{0,40}(?:content|prompt|last)\w{0,40}", re.IGNORECASE)


def review_go(source: str) -> TemplateReview:
    """Return what is remarkable about a Go template, as a Modelfile has: its literals, and what it compares content with.

    Args:
        source: The template's text.
    """
    if len(source) > _LIMIT:
        return TemplateReview(problem=f"{len(source)} characters of template are more than is read")
    remarks = [*_hidden(source), *_literal(source, 1)]
    for match in _GO_ACTION.finditer(source):
        action = match[1]
        if _GO_COMPARING.search(action) and _GO_CONTENT.search(action):
            line = source.count("\n", 0, match.start()) + 1
            for quoted, raw in _GO_TEXT.findall(action):
                grade = judge(quoted or raw)
                if grade not in (None, "weak") and (quoted or raw) not in _ROLES:
                    what = f"looks for {(quoted or raw)[:60]!r} in message content"
                    remarks.append(Remark(kind="content", what=what, line=line, grade=grade or "weak"))
    return TemplateReview(remarks=tuple(dict.fromkeys(remarks)))
