"""One file of a Hub as a stream: resumed after a drop, verified at its end, the token kept to the endpoint.

Made by ``governance.hub.client``, read by ``Store.take``: an error in ``readinto`` leaves nothing in the store, so bytes
that do not match never get a place a scanner could read.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx2
from huggingface_hub.utils import get_session, hf_raise_for_status

from governance.errors import SubjectError
from governance.hub.names import shown

#: Bytes after which an interruption no longer counts towards giving up.
_PROGRESS = 8 << 20
_MOST_REDIRECTS = 5
_MOST_REFUSAL = 1 << 16
_TIMEOUT = httpx2.Timeout(10.0, read=60.0)
#: What an interrupted transfer looks like to the HTTP client.
DROPPED = (httpx2.TransportError, httpx2.StreamError)


@dataclass(frozen=True)
class Listed:
    """One file as the Hub lists it.

    Attributes:
        path: In the repository.
        size: Bytes.
        sha256: Of a file in large-file storage, else None.
        blob: Git's object id of a file in the repository itself, else None.
    """

    path: str
    size: int
    sha256: str | None = None
    blob: str | None = None


def request(
    url: str,
    headers: Mapping[str, str],
    *,
    start: int = 0,
    end: int | None = None,
    see: Callable[[httpx2.Response], None] = lambda _: None,
) -> httpx2.Response:
    """Start a download; redirects are followed, and the token stays with the host it is for.

    Args:
        url: Of the file at the endpoint.
        headers: With the token, if there is one.
        start: First byte wanted.
        end: One past the last byte wanted; None: the end of the file.
        see: Shown the head of each answer of the endpoint itself, redirects included.

    Returns:
        A response with an unread body; close it.

    Raises:
        HfHubHTTPError: The Hub refuses.
        SubjectError: A redirect leads nowhere.
    """
    home = origin(url)
    sent = {k: v for k, v in headers.items() if k.lower() != "accept-encoding"} | {"Accept-Encoding": "identity"}
    if start or end is not None:
        sent["Range"] = f"bytes={start}-" + ("" if end is None else str(end - 1))
    session: httpx2.Client = get_session()
    for _ in range(_MOST_REDIRECTS):
        response = session.send(_get(session, url, sent), stream=True, follow_redirects=False)
        if origin(url) == home and response.status_code < 400:
            try:
                see(response)
            except BaseException:
                response.close()
                raise
        if not response.is_redirect:
            if response.status_code >= 400:
                hf_raise_for_status(_short(response))
            return response
        target = urljoin(url, response.headers.get("Location", ""))
        response.close()
        if urlsplit(target).scheme not in ("http", "https") or (url.startswith("https:") and not target.startswith("https:")):
            raise SubjectError(f"{url} redirects to {target[:200]}, which is not followed", hint="check the endpoint")
        if origin(target) != home:
            sent = {k: v for k, v in sent.items() if k.lower() not in ("authorization", "cookie")}
        url = target
    raise SubjectError(f"{url} redirects more than {_MOST_REDIRECTS} times", hint="check the endpoint")


@dataclass(frozen=True)
class Piece:
    """A part of a file as one answer gave it; ``etag`` is the answering host's name for this state of the file."""

    data: bytes
    etag: str


def read_piece(response: httpx2.Response, file: Listed, start: int, end: int) -> Piece | None:
    """Return the part of a file that was asked for, or None if the host sends whole files only.

    Args:
        response: Its answer, unread.
        file: As listed.
        start: First byte asked for.
        end: One past the last.

    Raises:
        SubjectError: The answer is not that part of a file of the listed size.
    """
    if response.status_code == 200:
        return None
    told = response.headers.get("Content-Range", "")
    expected = f"bytes {start}-{end - 1}/{file.size}"
    if response.status_code != 206 or told != expected:
        said = f"status {response.status_code}, Content-Range {shown(told)[:100] or 'missing'}"
        raise SubjectError(
            f"{shown(file.path)}: asked for {expected}, the Hub answers {said}", hint="try again later, or download it"
        )
    encoding, length = response.headers.get("Content-Encoding", "identity"), response.headers.get("Content-Length", "")
    if encoding != "identity":
        raise SubjectError(f"{shown(file.path)}: the Hub packs a part of it as {shown(encoding)[:40]}", hint="download it instead")
    if length and length != str(end - start):
        raise SubjectError(f"{shown(file.path)}: asked for {end - start} bytes, the Hub announces {shown(length)[:40]}")
    data = bytearray()
    for chunk in response.iter_raw():
        data += chunk
        if len(data) > end - start:
            break
    if len(data) != end - start:
        raise SubjectError(f"{shown(file.path)}: asked for {end - start} bytes, the Hub sends {len(data)}", hint="try again later")
    return Piece(bytes(data), response.headers.get("ETag", ""))


def _get(session: httpx2.Client, url: str, headers: Mapping[str, str]) -> httpx2.Request:
    return session.build_request("GET", url, headers=dict(headers), timeout=_TIMEOUT)


def _short(response: httpx2.Response) -> httpx2.Response:
    """Return a refusal with at most the beginning of its text, read; the client reads all of it otherwise."""
    body = b""
    with suppress(*DROPPED):
        body = next(response.iter_raw(_MOST_REFUSAL), b"")[:_MOST_REFUSAL]
    response.close()
    dropped = ("content-length", "content-encoding", "transfer-encoding")
    headers = {k: v for k, v in response.headers.items() if k.lower() not in dropped}
    return httpx2.Response(response.status_code, headers=headers, content=body, request=response.request)


def origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of an address."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


class VerifiedStream(io.RawIOBase):
    """The bytes of one file; ends only if size and digest are those the Hub lists.

    Args:
        file: What was listed.
        start: Opens the file at a byte; retries by itself what a pause can cure.
        pause: Waits before the next attempt; raises when there were too many.
    """

    def __init__(
        self, file: Listed, *, start: Callable[[int], httpx2.Response], pause: Callable[[int, Exception | None], None]
    ) -> None:
        self._file, self._start, self._pause = file, start, pause
        self._response: httpx2.Response | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._rest = b""
        self._offset = self._attempt = self._broke_at = 0
        self._digest = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer.

        Returns:
            Bytes written; 0 once everything was read and verified.

        Raises:
            SubjectError: The bytes are not those that were listed.
        """
        if not self._rest:
            self._rest = self._next()
        given, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)

    def close(self) -> None:
        """Close the connection as well."""
        if self._response is not None:
            self._response.close()
        super().close()

    def _next(self) -> bytes:
        """Return some bytes, or none at the verified end."""
        while True:
            trouble: Exception | None = None
            try:
                if self._response is None:
                    self._open()
                chunk = next(self._chunks, b"")
            except DROPPED as error:
                chunk, trouble = b"", error
            if chunk:
                return self._checked(chunk)
            if trouble is None and self._offset == self._file.size:
                self._verify()
                return b""
            if self._response is not None:
                self._response.close()
                self._response = None
            self._attempt = 1 if self._offset - self._broke_at >= _PROGRESS else self._attempt + 1
            self._broke_at = self._offset
            self._pause(self._attempt, trouble)

    def _open(self) -> None:
        """Connect at the current offset; a server that ignores the range is read up to it again."""
        if self._offset and self._offset == self._file.size:  # only the end was lost
            self._chunks = iter(())
            return
        response = self._start(self._offset)
        self._response = response
        ranged = response.status_code == 206
        if ranged and not response.headers.get("Content-Range", "").startswith(f"bytes {self._offset}-"):
            raise SubjectError(f"{self._file.path}: the Hub sends another range than asked for", hint="try again later")
        length = response.headers.get("Content-Length", "")
        expected = self._file.size - (self._offset if ranged else 0)
        if length.isdigit() and int(length) != expected and "Content-Encoding" not in response.headers:
            self._wrong("size", f"{expected} bytes", f"{length} bytes")
        chunks = response.iter_raw()
        self._chunks = chunks if ranged or not self._offset else _after(chunks, self._offset)

    def _checked(self, chunk: bytes) -> bytes:
        self._offset += len(chunk)
        if self._offset > self._file.size:
            self._wrong("size", f"{self._file.size} bytes", f"at least {self._offset} bytes")
        self._digest.update(chunk)
        return chunk

    def _verify(self) -> None:
        expected, got = self._file.sha256 or self._file.blob, self._digest.hexdigest()
        if expected != got:
            self._wrong("SHA-256" if self._file.sha256 else "git object id", expected or "none", got)

    def _wrong(self, what: str, expected: str, got: str) -> None:
        raise SubjectError(
            f"{self._file.path} is not what the Hub lists: {what} should be {expected}, got {got}",
            hint="nothing of it was kept. Try again; if it stays, the mirror or the network alters files: do not use them",
        )


def _after(chunks: Iterator[bytes], skip: int) -> Iterator[bytes]:
    """Yield what comes after the first ``skip`` bytes."""
    for chunk in chunks:
        if skip < len(chunk):
            yield chunk[skip:]
        skip = max(0, skip - len(chunk))
