"""The compliance report as one self-contained page: no script, no request, readable on a telephone and on paper."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from governance.verdict import Scorecard
from reports._compliance.form import DISCLAIMER, WORDS, forms
from reports._render import words
from reports._render.page import stylesheet
from reports._render.view import short_name

_TONES = {"filled": "good", "partial": "open", "open": "unknown"}


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("reports", "_compliance"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


@cache
def _style() -> str:
    own = files("reports._compliance").joinpath("compliance.css").read_text(encoding="utf-8")
    return f"{stylesheet()}\n{own}"


def page(card: Scorecard) -> str:
    """Return the document.

    Args:
        card: A recorded scorecard; its strings may be hostile.
    """
    composition = card.dossier.composition
    return (
        _environment()
        .get_template("compliance.html")
        .render(
            title=short_name(composition.adapter),
            base=short_name(composition.base) if composition.base else "",
            decision=words.DECISIONS[card.verdict.decision],
            run_id=words.name(card.run_id),
            created=f"{card.created:%Y-%m-%d %H:%M} UTC",
            version=words.name(card.curator_version),
            composition=composition.digest,
            forms=forms(card),
            words=WORDS,
            tones=_TONES,
            disclaimer=DISCLAIMER,
            style=Markup(_style()),  # noqa: S704 - our own files
            style_digest=base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode(),
        )
    )
