"""What stands before every route: who may speak, from where, how much, and the headers that bind a browser.

One ASGI middleware; knows nothing about audits. ``api.access`` decides, this module enforces.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import Access, is_public
from api.rest.problems import Refusal, document, response, wants_html

#: Most bytes of a request's body.
BODY_BYTES = 2**20
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_READS = ("GET", "HEAD", "OPTIONS")


class Shield:
    """Refuses what should not reach a route, and dresses what comes back.

    Args:
        app: What is behind.
        access: Decides on tokens and names.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, path = Headers(scope=scope), str(scope["path"])

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    sent.setdefault(name, value)
            await send(message)

        refused = self._refusal(str(scope["method"]), path, headers)
        if refused is None:
            await self._app(scope, _bounded(receive), dressed)
            return
        said = document(refused.status_code, str(refused.detail), hint=refused.hint, instance=path)
        answer = response(said, headers=refused.headers, html=wants_html(path, headers.get("accept", "")))
        await answer(scope, receive, dressed)

    def _refusal(self, method: str, path: str, headers: Headers) -> Refusal | None:
        host = headers.get("host", "")
        if not self._access.answers_to(host):
            return Refusal(403, f"this service does not answer to the name {host!r}", hint="use localhost or 127.0.0.1")
        if not is_public(path) and not self._access.admits(headers.get("authorization", "")):
            realm = "Bearer" if path.startswith("/v1") else 'Basic realm="model curator", charset="UTF-8"'
            hint = "send Authorization: Bearer TOKEN; in a browser, give the token as password"
            return Refusal(401, "this needs the access token", hint=hint, headers={"WWW-Authenticate": realm})
        if method not in _READS and not _same_origin(headers, host):
            return Refusal(403, "another site may not do this in your name")
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return Refusal(400, "the content length is no number")
        return _too_large() if int(length) > BODY_BYTES else None


def _same_origin(headers: Headers, host: str) -> bool:
    """Return whether a write comes from our own pages, or from no page at all."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == host


def _bounded(receive: Receive) -> Receive:
    """Return a ``receive`` that ends a body which grows too large, whatever length it claimed."""
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > BODY_BYTES:
            raise _too_large()
        return message

    return bounded


def _too_large() -> Refusal:
    return Refusal(
        413,
        f"the body is larger than {BODY_BYTES} bytes",
        hint="a reference is a few hundred bytes",
        headers={"Connection": "close"},
    )
