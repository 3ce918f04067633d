"""The scorecard's page: the body both the HTML report and the web page show, and its style sheet.

Made from a ``View``; read by ``reports.html`` and by the web pages, which put ``body`` into their own frame and serve
``stylesheet`` as a file.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from governance.verdict import Scorecard
from reports._render.charts import dots_chart, forest_chart
from reports._render.view import view


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
    forests = {g.id: Markup(forest_chart(g.differences)) for g in seen.measured}  # noqa: S704 - vl-convert escapes
    dots = {g.id: Markup(dots_chart(g.bars)) for g in seen.measured}  # noqa: S704 - vl-convert escapes
    page = environment().get_template("scorecard.html")
    return Markup(page.render(v=seen, forests=forests, dots=dots))  # noqa: S704 - autoescaped


def page(card: Scorecard, *, style_digest: str) -> str:
    """Return one self-contained document that asks no other address for anything.

    Args:
        card: A recorded scorecard.
        style_digest: Base64 SHA-256 of the style sheet, the only style the page allows itself.
    """
    seen = view(card)
    return environment().get_template("page.html").render(
        v=seen, body=body(card), style=Markup(stylesheet()), style_digest=style_digest  # noqa: S704 - our own file
    )  # fmt: skip
