"""The scorecard's page: the body both the HTML report and the web page show, and its style sheet.

Made from a ``View``; read by ``reports.html`` and by the web pages, which put ``body`` into their own frame and serve
``stylesheet`` as a file.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from governance.verdict import Scorecard
from reports._render.charts import dots_chart, forest_chart
from reports._render.drawn import Bar, Difference
from reports._render.view import view

#: What is drawn under a name: differences beside a margin, and both models on one scale.
Drawn = Mapping[str, tuple[Sequence[Difference], Sequence[Bar]]]


class Headed(Protocol):
    """What the frame of a page says of what it shows."""

    @property
    def word(self) -> str:
        """The verdict, or what this is."""

    @property
    def title(self) -> str:
        """What it is about."""


@cache
def environment() -> Environment:
    """Return the templates of this folder, everything escaped."""
    return Environment(
        loader=PackageLoader("reports", "_render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def stylesheet() -> str:
    """Return the style sheet: light, dark and print."""
    return files("reports._render").joinpath("scorecard.css").read_text(encoding="utf-8")


def body(card: Scorecard) -> Markup:
    """Return the page's ``<main>`` element, escaped, with charts as inline SVG and without script or inline style.

    Args:
        card: A recorded scorecard; its strings may be hostile.
    """
    seen = view(card)
    return filled("scorecard.html", seen, {g.id: (g.differences, g.bars) for g in seen.measured})


def filled(template: str, seen: object, drawn: Drawn) -> Markup:
    """Return a template of this folder with its charts, escaped.

    Args:
        template: Its name.
        seen: What it shows.
        drawn: What is drawn, by the name under which the template asks for it.
    """
    forests = {key: Markup(forest_chart(rows)) for key, (rows, _) in drawn.items()}  # noqa: S704 - vl-convert escapes
    dots = {key: Markup(dots_chart(rows)) for key, (_, rows) in drawn.items()}  # noqa: S704 - vl-convert escapes
    page = environment().get_template(template)
    return Markup(page.render(v=seen, forests=forests, dots=dots))  # noqa: S704 - autoescaped


def page(card: Scorecard) -> bytes:
    """Return a scorecard as one self-contained document that asks no other address for anything.

    Args:
        card: A recorded scorecard.
    """
    return framed(view(card), body(card))


def framed(seen: Headed, content: Markup) -> bytes:
    """Return a whole page as UTF-8 HTML, with the style sheet in it as the only style it allows itself.

    Args:
        seen: What the page is about.
        content: Its ``<main>`` element.
    """
    style = stylesheet()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    whole = environment().get_template("page.html").render(
        v=seen, body=content, style=Markup(style), style_digest=digest  # noqa: S704 - our own file
    )  # fmt: skip
    return whole.encode("utf-8", "replace")
