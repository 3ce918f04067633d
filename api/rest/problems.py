"""Every error as problem JSON (RFC 9457), and as a small page for a browser. Never a stack trace, SQL or a token.

``api.outcomes`` says which status an error of the curator has; this module says the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from api.jobs import QueueFullError
from api.outcomes import problem
from api.web.render import page
from governance.errors import CuratorError

MEDIA_TYPE = "application/problem+json"
#: FastAPI's own form: status → what the OpenAPI document says of it.
Described = dict[int | str, dict[str, Any]]
_TITLES = {
    400: "The request is malformed",
    401: "An access token is needed",
    403: "Not allowed",
    404: "There is no such thing",
    405: "This is not done here",
    406: "There is no such format",
    409: "Not in this state",
    413: "The request is too large",
    415: "This media type is not read",
    422: "The request is not valid",
    500: "The curator failed",
    503: "Not now",
}


class Fault(BaseModel):
    """One place in a request that is wrong."""

    pointer: str = ""
    line: int | None = None
    column: int | None = None
    message: str


class Problem(BaseModel):
    """What every error looks like."""

    type: str
    title: str
    status: int
    detail: str
    hint: str = ""
    instance: str = ""
    errors: list[Fault] = Field(default_factory=list)


class Refusal(HTTPException):
    """A request that gets no answer, for a reason of HTTP's and not of the audit's.

    Args:
        status: HTTP status.
        detail: What is wrong, in one sentence.
        hint: What to do.
        headers: To send along.
    """

    def __init__(self, status: int, detail: str, *, hint: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, dict(headers) if headers else None)
        self.hint = hint


def described(*statuses: int, also: Described | None = None) -> Described:
    """Return what the OpenAPI document says of a route's answers beside its usual one.

    Args:
        *statuses: Errors, beside those any route may answer with.
        also: Answers that are no errors.
    """
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    errors = sorted({401, 403, 422, 503, *statuses})
    return {**(also or {}), **{s: {"description": _TITLES[s], "content": {MEDIA_TYPE: schema}} for s in errors}}


def document(status: int, detail: str, *, hint: str = "", instance: str = "") -> dict[str, object]:
    """Return problem JSON for an HTTP status."""
    found: dict[str, object] = {"type": "about:blank", "title": _TITLES.get(status, "The request failed"), "status": status}
    return found | {"detail": detail, "hint": hint, "instance": instance}


def response(said: Mapping[str, object], *, headers: Mapping[str, str] | None = None, html: bool = False) -> Response:
    """Return a problem as a response; as a page if a browser asked for one."""
    status = said["status"] if isinstance(said["status"], int) else 500
    sent = dict(headers or {}) | ({"Retry-After": "30"} if status == 503 else {})
    if html:
        return page("problem.html", status=status, headers=sent, problem=said)
    return JSONResponse(said, status_code=status, headers=sent, media_type=MEDIA_TYPE)


def wants_html(path: str, accept: str) -> bool:
    """Return whether a page is the better answer."""
    return not path.startswith(("/v1", "/healthz", "/readyz", "/openapi")) and "text/html" in accept


def install(app: FastAPI) -> None:
    """Answer every error of an application with a problem."""
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(CuratorError, _failed)
    app.add_exception_handler(Exception, _crashed)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 - registered for it
    hint = error.hint if isinstance(error, Refusal) else ""
    return _answer(request, document(error.status_code, str(error.detail), hint=hint), error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    faults = [{"pointer": "/" + "/".join(str(p) for p in fault["loc"]), "message": str(fault["msg"])} for fault in error.errors()]
    detail = "; ".join(f"{f['pointer']}: {f['message']}" for f in faults[:3])
    return _answer(request, document(422, detail, hint="/openapi.json says what is read") | {"errors": faults[:50]})


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, CuratorError)  # noqa: S101 - registered for it
    said = document(503, error.message, hint=error.hint) if isinstance(error, QueueFullError) else problem(error)
    return _answer(request, said)


async def _crashed(request: Request, error: Exception) -> Response:
    return _answer(request, document(500, type(error).__name__, hint="a fault of the curator; see the server's log"))


def _answer(request: Request, said: dict[str, object], headers: Mapping[str, str] | None = None) -> Response:
    path = request.url.path
    html = wants_html(path, request.headers.get("accept", ""))
    return response(said | {"instance": path}, headers=headers, html=html)
