"""A Hub's metadata by ``huggingface_hub``, and its files as verified streams. Every failure says what to do.

Imported by ``governance.hub.acquirer`` when the first Hub reference comes; the only reader of the token. A revision is
resolved once; all that follows asks for the 40-digit commit.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal, TypeVar

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers

from governance import VERSION
from governance.context import RunContext
from governance.errors import CuratorError, SubjectError
from governance.hub.names import shown
from governance.hub.transfer import Listed, Piece, VerifiedStream, read_piece, request
from governance.subject import COMMIT

T = TypeVar("T")
Kind = Literal["model", "dataset"]
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_ATTEMPTS = 5
_LONGEST_PAUSE = 120.0
_METADATA_TIMEOUT = 30.0

# The client would otherwise ask huggingface.co, whatever the endpoint, which program it runs in, and cache the answer.
constants.HF_HUB_DISABLE_TELEMETRY = True


class NotAvailable(SubjectError):  # noqa: N818 - a state of the Hub, not a fault
    """A repository is missing, closed to this token, or out of reach; an audit may go on without it if it is a base."""


class OutOfReach(NotAvailable):
    """No Hub answers at the endpoint."""


@dataclass(frozen=True)
class Pinned:
    """One repository of a Hub at one commit.

    Attributes:
        kind: What the Hub calls it.
        name: As asked for.
        commit: 40 hexadecimal digits.
        files: As listed at that commit.
        license: The Hub's license tag.
        bases: Base models the Hub names.
        repository: The Hub's id of the repository.
        owner: The Hub's id of the owner, if told.
        created: ISO 8601 time of the last change at that commit, if told.
    """

    kind: Kind
    name: str
    commit: str
    files: tuple[Listed, ...]
    license: str | None = None
    bases: tuple[str, ...] = ()
    repository: str | None = None
    owner: str | None = None
    created: str | None = None


class HubClient:
    """Reads one endpoint.

    Args:
        endpoint: Its address.
        token: Sent to this endpoint only; None: none, whatever the environment or a login file holds.
        backoff: Seconds before the second attempt; doubled for each further one.
    """

    def __init__(self, endpoint: str, token: str | None, *, backoff: float) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._token: str | Literal[False] = token or False
        self._api = HfApi(endpoint=self.endpoint, token=self._token, library_name="model-curator", library_version=VERSION)
        self._backoff = backoff

    def pin(self, name: str, revision: str | None, ctx: RunContext, *, kind: Kind = "model") -> Pinned:
        """Resolve a revision to its commit, once, and list what it holds.

        Args:
            name: ``owner/name``.
            revision: Branch, tag or commit; None: the default branch.
            ctx: For cancellation while waiting.
            kind: Of repository.

        Raises:
            NotAvailable: It is missing, closed, or out of reach.
            SubjectError: The answer is not one of a Hub.
        """
        asked = revision or constants.DEFAULT_REVISION

        def ask() -> Pinned:
            info = self._api.repo_info(
                name, revision=asked, repo_type=kind, files_metadata=True, timeout=_METADATA_TIMEOUT, token=self._token
            )
            commit = str(info.sha or "")
            if not COMMIT.match(commit):
                raise SubjectError(f"{self.endpoint} names no commit for {name}@{asked}", hint="check that the endpoint is a Hub")
            if COMMIT.match(asked) and commit != asked:
                raise SubjectError(f"{self.endpoint} answers {name}@{asked} with commit {commit}", hint="check the endpoint")
            return self._pinned(info, name, commit, kind)

        return self._patiently(ask, name, revision, ctx)

    @contextmanager
    def open(self, pinned: Pinned, file: Listed, ctx: RunContext) -> Iterator[BinaryIO]:
        """Open a file of a pinned repository; reading it to the end verifies it.

        Yields:
            Its bytes.

        Raises:
            NotAvailable: It may not be read.
            SubjectError: The bytes are not those that were listed.
        """
        url, headers = self._address(pinned, file)

        def start(offset: int) -> httpx2.Response:
            return self._patiently(lambda: request(url, headers, start=offset), pinned.name, pinned.commit, ctx)

        def pause(attempt: int, trouble: Exception | None) -> None:
            if attempt >= _ATTEMPTS:
                ended = f"the connection broke {attempt} times ({trouble})" if trouble else "the Hub sends less than it lists"
                raise NotAvailable(f"{shown(file.path)} of {pinned.name}: {ended}", hint="try again; what is complete is kept")
            self._wait(attempt, None, ctx)

        stream = VerifiedStream(file, start=start, pause=pause)
        try:
            with io.BufferedReader(stream, 1 << 20) as reader:
                yield reader
        finally:
            stream.close()

    def piece(self, pinned: Pinned, file: Listed, start: int, end: int, ctx: RunContext) -> Piece | None:
        """Return a part of a file of a pinned repository, or None if the Hub sends whole files only.

        Args:
            pinned: The repository.
            file: As listed in it.
            start: First byte.
            end: One past the last.
            ctx: For cancellation while waiting.

        Raises:
            NotAvailable: It may not be read.
            SubjectError: The answer is not that part of the file that was listed.
        """
        url, headers = self._address(pinned, file)

        def see(response: httpx2.Response) -> None:
            _assert_listed(response, pinned, file)

        def ask() -> Piece | None:
            response = request(url, headers, start=start, end=end, see=see)
            try:
                return read_piece(response, file, start, end)
            finally:
                response.close()

        return self._patiently(ask, pinned.name, pinned.commit, ctx)

    def _address(self, pinned: Pinned, file: Listed) -> tuple[str, Mapping[str, str]]:
        """Return where a file is asked for, and what is sent along."""
        url = hf_hub_url(pinned.name, file.path, repo_type=pinned.kind, revision=pinned.commit, endpoint=self.endpoint)
        return url, build_hf_headers(token=self._token, library_name="model-curator", library_version=VERSION)

    def _pinned(self, info: object, name: str, commit: str, kind: Kind) -> Pinned:
        """Return what the client's answer says, with what it left out filled in from the tree."""
        siblings: Sequence[object] = getattr(info, "siblings", None) or ()
        files = [_listed(str(getattr(s, "rfilename", "")), s) for s in siblings]
        if not all(files):
            tree = self._api.list_repo_tree(name, recursive=True, revision=commit, repo_type=kind, token=self._token)
            files = [_listed(str(entry.path), entry) for entry in tree if hasattr(entry, "blob_id")]
        whole = tuple(f for f in files if f is not None)
        if len(whole) < len(files) or not whole:
            raise SubjectError(f"{self.endpoint} lists files of {name} without size or digest: they cannot be verified")
        card, author = getattr(info, "card_data", None), getattr(info, "authorData", None)
        changed = getattr(info, "last_modified", None)
        repository = getattr(info, "_id", None)
        return Pinned(
            kind=kind,
            name=name,
            commit=commit,
            files=whole,
            license=_text(getattr(card, "license", None)) or _tagged(info, "license:"),
            bases=_bases(info),
            repository=_text(repository),
            owner=_text(author.get("_id")) if isinstance(author, dict) else None,
            created=changed.isoformat() if changed is not None else None,
        )

    def _patiently(self, ask: Callable[[], T], name: str, revision: str | None, ctx: RunContext) -> T:
        """Ask, and again after a pause if that can help; the last failure is told in our own words."""
        for attempt in range(1, _ATTEMPTS + 1):
            ctx.checkpoint()
            try:
                return ask()
            except HfHubHTTPError as error:
                status = error.response.status_code
                if attempt == _ATTEMPTS or not (status == 429 or status >= 500) or isinstance(error, RepositoryNotFoundError):
                    raise self._refused(error, name, revision) from error
                self._wait(attempt, error.response.headers.get("Retry-After"), ctx)
            except OfflineModeIsEnabled as error:
                raise NotAvailable(
                    f"{name} is on a Hub, and the Hub client is offline", hint="pass a folder, or unset HF_HUB_OFFLINE"
                ) from error
            except (httpx2.TransportError, httpx2.InvalidURL) as error:
                if attempt == _ATTEMPTS or isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
                    raise OutOfReach(
                        f"{self.endpoint} cannot be reached for {name}: {error}",
                        hint="check the network and HF_ENDPOINT, or pass a folder; HF_HUB_OFFLINE=1 stops asking",
                    ) from error
                self._wait(attempt, None, ctx)
            except (ValueError, KeyError, TypeError, AttributeError) as error:  # the client read an answer that is no Hub's
                raise NotAvailable(
                    f"{self.endpoint} does not answer like a Hub for {name}: {type(error).__name__}: {error}",
                    hint="check HF_ENDPOINT and the spelling of the name",
                ) from error
        raise AssertionError("unreachable")

    def _wait(self, attempt: int, asked: str | None, ctx: RunContext) -> None:
        """Wait before the next attempt, as long as the Hub asks for, and end at once when the audit is cancelled."""
        seconds = float(asked) if asked and asked.isdigit() else self._backoff * 2 ** (attempt - 1)
        if seconds > _LONGEST_PAUSE:
            raise NotAvailable(f"{self.endpoint} asks to wait {seconds:.0f} s", hint="run the same command again after that time")
        while seconds > 0:
            ctx.checkpoint()
            time.sleep(min(seconds, 0.25))
            seconds -= 0.25

    def _refused(self, error: HfHubHTTPError, name: str, revision: str | None) -> CuratorError:
        """Return a refusal as an error with the way out."""
        status = error.response.status_code
        known = "the token given does not allow it" if self._token else "no token was given"
        if isinstance(error, GatedRepoError) or status == 403:
            return NotAvailable(
                f"{name} is gated: {known}", hint=f"accept the terms of {name} at {self.endpoint}/{name}, then set HF_TOKEN"
            )
        if isinstance(error, RevisionNotFoundError):
            return NotAvailable(f"{name} has no revision {revision or 'main'!r}", hint="name a branch, tag or commit it has")
        if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
            return NotAvailable(
                f"there is no repository {name} at {self.endpoint} that may be read: {known}",
                hint="check the spelling; for a private or gated one set HF_TOKEN to a token with read access",
            )
        return NotAvailable(
            f"{self.endpoint} answers {name} with status {status}", hint="try again later; what is complete is kept"
        )


def _listed(path: str, entry: object) -> Listed | None:
    """Return a file as listed, or None if it could not be verified with what the Hub says."""
    lfs, blob, size = getattr(entry, "lfs", None), getattr(entry, "blob_id", None), getattr(entry, "size", None)
    digest, stored = getattr(lfs, "sha256", None), getattr(lfs, "size", None)
    if isinstance(digest, str) and _SHA256.match(digest) and isinstance(stored, int) and stored >= 0:
        return Listed(path, stored, sha256=digest)
    if lfs is None and isinstance(size, int) and size >= 0 and isinstance(blob, str) and COMMIT.match(blob):
        return Listed(path, size, blob=blob)
    return None


def _assert_listed(response: httpx2.Response, pinned: Pinned, file: Listed) -> None:
    """Refuse an answer whose head speaks of another commit, digest or size than was listed; a head may be silent."""
    linked = response.headers.get("X-Linked-Etag", "").removeprefix("W/").strip('"')
    for what, listed, said in (
        ("commit", pinned.commit, response.headers.get("X-Repo-Commit")),
        ("digest", file.sha256 or file.blob, linked or None),
        ("size", str(file.size), response.headers.get("X-Linked-Size")),
    ):
        if said is not None and said != listed:
            raise SubjectError(
                f"{shown(file.path)} is not what the Hub lists: {what} should be {listed}, got {shown(said)[:100]}",
                hint="try again; if it stays, the mirror or the network alters files: do not use them",
            )


def _bases(info: object) -> tuple[str, ...]:
    """Return the base models the Hub names, once each: its own field, else its tags."""
    own = getattr(info, "base_models", None)
    entries = own.get("models") if isinstance(own, dict) else own
    names = [str(n) for e in entries or () if (n := e.get("id") if isinstance(e, dict) else None)]
    if not names:
        tags = [str(t).split(":") for t in getattr(info, "tags", None) or ()]
        names = [parts[-1] for parts in tags if parts[0] == "base_model" and len(parts) > 1]
    return tuple(dict.fromkeys(names))


def _tagged(info: object, prefix: str) -> str | None:
    return next((str(t).removeprefix(prefix) for t in getattr(info, "tags", None) or () if str(t).startswith(prefix)), None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
