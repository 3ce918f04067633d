"""Templates → pages. Everything from outside is escaped, shortened, and made visible where it would hide.

Used by ``api.web.pages`` and, for errors, by ``api.rest.problems``. No page holds a script or a style of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from governance import VERSION

#: Characters that change how their neighbours are read, and control characters; tab and line feed are harmless.
_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_LONGEST = 600


def visible(value: object) -> object:
    """Return a value as it may be shown: hidden characters as ⟨U+202E⟩, over-long text cut.

    Args:
        value: Whatever a template puts out; markup made by a template itself is left alone.
    """
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M UTC")
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    shown = value if len(value) <= _LONGEST else value[:_LONGEST] + "…"
    return _HIDDEN.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", shown)


@cache
def _environment() -> Environment:
    folder = Path(__file__).with_name("templates")
    made = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, finalize=visible)
    made.trim_blocks = made.lstrip_blocks = True
    made.globals["version"] = VERSION
    return made


def page(template: str, /, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: object) -> HTMLResponse:
    """Return a page.

    Args:
        template: File name in ``templates``.
        status: HTTP status.
        headers: To send along.
        **values: What the template reads.
    """
    return HTMLResponse(_environment().get_template(template).render(**values), status_code=status, headers=dict(headers or {}))
