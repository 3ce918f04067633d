"""Recorded documents as responses: entity tags, file names, and a policy that lets no document run anything."""

from __future__ import annotations

import base64
import hashlib
import re

from fastapi import Request, Response

from api.rest.problems import Refusal
from api.rest.service import Service

_STYLE = re.compile(rb"<style>(.*?)</style>", re.DOTALL)
_FOREVER = "private, max-age=31536000, immutable"


def report_response(here: Service, run_id: str, format_id: str) -> Response:
    """Return a recorded scorecard as a report.

    Args:
        here: The service.
        run_id: The run.
        format_id: One of the report formats.

    Raises:
        Refusal: 404, no such run; 406, no such format; 409, no verdict.
    """
    if format_id not in here.desk.formats:
        raise Refusal(406, f"there is no report format {format_id!r}", hint="one of: " + ", ".join(here.desk.formats))
    form, document = here.desk.formats[format_id], here.desk.render(here.scorecard(run_id), format_id)
    headers = {"Content-Disposition": f'inline; filename="{run_id}{form.suffix}"', "Content-Security-Policy": closed(document)}
    return Response(document, media_type=form.media_type, headers=headers)


def closed(document: bytes) -> str:
    """Return a content security policy for a self-contained document: its own style sheet, nothing else.

    Args:
        document: HTML, or anything; only the first style element, our own in the head, is let through.
    """
    style = _STYLE.search(document)
    allowed = f"'sha256-{base64.b64encode(hashlib.sha256(style.group(1)).digest()).decode()}'" if style else "'none'"
    return f"default-src 'none'; style-src {allowed}; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def scorecard_response(request: Request, document: str, sha256: str, *, forever: bool) -> Response:
    """Return a scorecard's JSON exactly as it was recorded, or 304.

    Args:
        request: May carry ``If-None-Match``.
        document: The JSON.
        sha256: Of the JSON; the strong entity tag.
        forever: Whether this address will always give this document.
    """
    tag = f'"{sha256}"'
    headers = {"ETag": tag, "Cache-Control": _FOREVER if forever else "private, no-cache"}
    known = {t.strip().removeprefix("W/") for t in request.headers.get("if-none-match", "").split(",")}
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(document, media_type="application/json", headers=headers)
