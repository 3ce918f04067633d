"""Repositories of a Hub read in parts, in the process that has the network: what a triage asks for, within a budget.

Made by the caller of ``Acquirer.acquire_ranged``; ``read`` is the ``fetch`` of its ``RunContext``, so the bytes the inspection
child asks for come from here. Small files and files of a host without ranges are taken whole and verified; of the others, parts
are kept, and each file's answers must agree with the listing and with each other. A file that was not told in full, or told
two ways, is a trouble that the triage names: it never counts as read.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from governance.context import Progress, RunContext
from governance.errors import Cancelled, CuratorError, LimitError, SubjectError
from governance.hub.names import shown
from governance.hub.pieces import Pieces, Shelf
from governance.hub.selection import Choice
from governance.ranges import MOST_ASKED, Span
from governance.subject import FileEntry, Held, Subject

if TYPE_CHECKING:
    from governance.hub.client import HubClient, Pinned
    from governance.hub.transfer import Listed, Piece

T = TypeVar("T")
R = TypeVar("R")
#: Up to here a file is taken whole, and of a larger one this much is taken with its first byte.
SMALL = HEAD = 64 << 10
#: Without a budget of the caller's: what a triage may transfer of one repository.
_LEAST_BUDGET, _SHARE = 64 << 20, 10
_MOST_REQUESTS = 20_000
_IN_FLIGHT = 8
#: Bytes of each file that are asked for a second time.
_SAMPLE = 1 << 10
#: Files that could not be reached, one after the other, after which no further one is tried.
_LOST = 3
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Transferred:
    """What one repository's files cost.

    Attributes:
        listed: Bytes the Hub lists.
        bytes: Bytes that came.
        requests: Requests for them.
        files: Bytes that came, by path.
        whole: Files without ranges that were downloaded and verified.
        digests: SHA-256 of files that were read whole and are what was listed, by path.
        troubles: Why parts of a file could not be had, by path.
    """

    listed: int = 0
    bytes: int = 0
    requests: int = 0
    files: dict[str, int] = field(default_factory=dict)
    whole: tuple[str, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)


@dataclass
class _File:
    """One file, and what is known of it so far."""

    listed: Listed
    repository: _Repository
    pieces: Pieces
    entry: FileEntry | None = None  # once it is in the store
    etag: str | None = None
    bytes: int = 0
    requests: int = 0
    fell_back: bool = False
    trouble: str = ""
    false: bool = False


@dataclass(frozen=True)
class _Repository:
    client: HubClient
    pinned: Pinned
    ctx: RunContext
    most_whole: int


class RangedFiles:
    """The remote files of one triage.

    Args:
        shelf: Folder for the parts that were fetched.
        budget: Most bytes to transfer; None: a tenth of what is listed and at least 64 MiB, files without ranges apart.
    """

    def __init__(self, shelf: Path, *, budget: int | None = None) -> None:
        self._shelf, self._budget, self._ceiling = Shelf(shelf), budget, budget or 0
        self._files: dict[tuple[str, str], _File] = {}
        self._commits: dict[str, str] = {}
        self._spent = self._requests = self._lost = self._downloaded = 0
        self._turn = threading.Lock()

    def take(
        self, client: HubClient, pinned: Pinned, ctx: RunContext, choice: Choice, *, revision: str | None, ahead: bool
    ) -> Subject:
        """Make a pinned repository a subject whose files are read in parts.

        Args:
            client: Of the endpoint it was pinned at.
            pinned: The repository.
            ctx: Limits, store, progress.
            choice: Which files are needed.
            revision: As asked for, to be recorded.
            ahead: Whether all small files and the beginning of the others are fetched at once, and whether a file of a host
                without ranges may be downloaded at any size.

        Raises:
            NotAvailable: The files may not be read.
            LimitError: It lists too many files.
            SubjectError: The same repository was taken at another commit.
        """
        from governance.hub.remote import absent, sort_out, subject_of

        if self._commits.setdefault(pinned.name, pinned.commit) != pinned.commit:
            raise SubjectError(f"{pinned.name} is adapter and base at once, at two commits", hint="name another base")
        usable, unneeded, refused = sort_out(pinned, ctx, choice)
        repository = _Repository(client, pinned, ctx, ctx.limits.file_bytes if ahead else ctx.limits.document_bytes)
        made = [
            self._files.setdefault((pinned.name, path), _File(f, repository, Pieces(self._shelf, shown(path), f.size)))
            for path, f in usable.items()
            if path not in unneeded
        ]
        if self._budget is None:
            self._ceiling += max(_LEAST_BUDGET, sum(f.listed.size for f in made) // _SHARE)
        if ahead:
            self._fetch_ahead(made, ctx)
        files = [f.entry or _entry(f.listed) for f in made]
        return subject_of(pinned, [*files, *absent(usable, unneeded, refused)], refused, revision, Held.RANGES)

    def read(self, name: str, path: str, spans: Sequence[Span]) -> bytes:
        """Return parts of a file; this is a ``governance.ranges.Fetch``.

        Raises:
            SubjectError: It was not listed, or the parts do not lie in it, or the Hub does not tell them truly.
            LimitError: The budget is used up.
        """
        file = self._files.get((name, path))
        if file is None:
            raise SubjectError(f"{shown(path)[:200]} of {shown(name)[:200]} was not listed")
        if sum(n for _, n in spans) > MOST_ASKED or any(at < 0 or n <= 0 or at + n > file.listed.size for at, n in spans):
            raise SubjectError(f"{shown(path)}: parts were asked for that it does not have")
        return self._noting(file, lambda: self._read(file, spans))

    def confirm(self) -> None:
        """Ask once more for the beginning of what was read of each file: a host that answers by the count is noticed."""
        read = [f for f in self._files.values() if f.entry is None and not f.trouble and f.pieces.bytes]

        def one(file: _File) -> None:
            part = file.pieces.sample(_SAMPLE)
            if part is not None:
                self._trying(file, lambda: self._fetch(file, [part], counted=False))

        _together(one, read)

    def transferred(self, name: str) -> Transferred:
        """Return what a repository's files cost so far; files that were read whole are compared with the listing."""
        files = {path: f for (owner, path), f in self._files.items() if owner == name}
        digests = {path: found for path, f in files.items() if (found := self._settled(f))}
        return Transferred(
            listed=sum(f.listed.size for f in files.values()),
            bytes=sum(f.bytes for f in files.values()),
            requests=sum(f.requests for f in files.values()),
            files={path: f.bytes for path, f in files.items()},
            whole=tuple(path for path, f in files.items() if f.fell_back),
            digests=digests,
            troubles={path: f.trouble for path, f in files.items() if f.trouble},
        )

    def close(self) -> None:
        """Let go of every part."""
        self._shelf.close()

    def _fetch_ahead(self, files: Iterable[_File], ctx: RunContext) -> None:
        """Fetch small files whole and the beginning of the others, several at a time."""
        from governance.hub.client import NotAvailable

        wanted = [f for f in sorted(files, key=lambda f: f.listed.size) if f.listed.size]

        def one(file: _File) -> CuratorError | None:
            return self._trying(file, lambda: self._read(file, [(0, min(file.listed.size, HEAD))]))

        ctx.emit(Progress(run_id=ctx.run_id, step="acquire", message=f"{len(wanted)} files, small ones and beginnings first"))
        for refusal in _together(one, wanted):
            if isinstance(refusal, NotAvailable):
                raise refusal

    def _trying(self, file: _File, read: Callable[[], object]) -> CuratorError | None:
        """Read, and return what went wrong; it is noted, and told by the triage."""
        try:
            self._noting(file, read)
        except Cancelled:
            raise
        except CuratorError as error:
            return error
        return None

    def _noting(self, file: _File, read: Callable[[], R]) -> R:
        """Read, and keep in mind what went wrong."""
        from governance.hub.client import NotAvailable

        try:
            return read()
        except Cancelled:
            raise
        except CuratorError as error:
            file.trouble = file.trouble or error.message
            file.false = file.false or not isinstance(error, NotAvailable | LimitError)
            self._lost += isinstance(error, NotAvailable)
            raise

    def _read(self, file: _File, spans: Sequence[Span]) -> bytes:
        if file.false:
            raise SubjectError(file.trouble)
        if file.entry is None and (file.listed.size <= SMALL or self._in_store(file)):
            self._take_whole(file)
        if file.entry is None:
            missing = file.pieces.missing(_with_head(spans, file))
            if missing and not self._fetch(file, missing):
                self._take_whole(file, fell_back=True)
        if file.entry is None:
            return file.pieces.get(spans)
        with file.repository.ctx.store.blob(file.entry.sha256).open("rb") as copy:
            return b"".join(os.pread(copy.fileno(), n, at) for at, n in spans)

    def _fetch(self, file: _File, missing: Sequence[tuple[int, int]], *, counted: bool = True) -> bool:
        """Fetch parts; False if the host sends whole files only."""
        if file.trouble:
            raise SubjectError(file.trouble)
        self._spend(file, sum(end - start for start, end in missing), len(missing), counted=counted)
        at = file.repository

        def one(part: tuple[int, int]) -> Piece | None:
            return at.client.piece(at.pinned, file.listed, *part, at.ctx)

        path, total = shown(file.listed.path), file.listed.size
        at.ctx.emit(Progress(run_id=at.ctx.run_id, step="transfer", item=path, done=file.pieces.bytes, total=total))
        found = list(_together(one, missing))
        for (start, _), piece in zip(missing, found, strict=True):
            if piece is None:
                return False
            file.bytes += len(piece.data)
            if file.etag is not None and piece.etag != file.etag:
                raise SubjectError(
                    f"{path} changed between two requests: its ETag was {shown(file.etag)[:80]}, now {shown(piece.etag)[:80]}",
                    hint="run the triage again",
                )
            file.etag = piece.etag
            file.pieces.put(start, piece.data)
        self._lost = 0
        return True

    def _take_whole(self, file: _File, *, fell_back: bool = False) -> None:
        """Put a file into the store, verified."""
        from governance.hub.remote import take

        at, size = file.repository, file.listed.size
        if file.trouble:
            raise SubjectError(file.trouble)
        here = self._in_store(file)
        if not here and fell_back:
            self._downloaded += size
            if size > at.most_whole or (self._budget is None and self._downloaded > at.ctx.limits.total_bytes):
                raise LimitError(
                    f"the Hub sends {shown(file.listed.path)} only whole, and its {size:,} bytes are more than may be downloaded",
                    limit=at.most_whole,
                    actual=size,
                    hint="raise limits.file_bytes, or use a Hub with ranges",
                )
        if not here:
            self._spend(file, size, 1, counted=self._budget is not None or not fell_back)
        file.entry = take(at.client, at.pinned, file.listed, at.ctx)
        file.bytes += 0 if here else size
        file.fell_back = fell_back

    def _in_store(self, file: _File) -> bool:
        return bool(file.listed.sha256) and file.repository.ctx.store.has(file.listed.sha256 or "")

    def _spend(self, file: _File, size: int, requests: int, *, counted: bool = True) -> None:
        """Note what is about to be transferred, if it may be."""
        with self._turn:
            self._spend_alone(file, size, requests, counted)

    def _spend_alone(self, file: _File, size: int, requests: int, counted: bool) -> None:
        path = shown(file.listed.path)
        if counted and self._spent + size > self._ceiling:
            raise LimitError(
                f"{path}: {size:,} more bytes would pass the budget of {self._ceiling:,} bytes, of which {self._spent:,} are spent",
                limit=self._ceiling,
                actual=self._spent + size,
                hint="raise --budget",
            )
        if self._requests + requests > _MOST_REQUESTS:
            raise LimitError(
                f"{path}: more than {_MOST_REQUESTS:,} requests", limit=_MOST_REQUESTS, actual=self._requests + requests
            )
        if self._lost >= _LOST:
            raise SubjectError(f"{path}: not asked for, as the Hub was out of reach {self._lost} times")
        self._spent += size if counted else 0
        self._requests += requests
        file.requests += requests

    def _settled(self, file: _File) -> str:
        """Return the SHA-256 of a file that is here whole and is what was listed; else nothing, and what is wrong is noted."""
        if file.entry is not None:
            return file.entry.sha256
        if not file.pieces.whole or file.false or not file.listed.size:
            return ""
        sha256, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % file.listed.size, usedforsecurity=False)
        for at in range(0, file.listed.size, _CHUNK):
            data = file.pieces.get([(at, min(_CHUNK, file.listed.size - at))])
            sha256.update(data)
            blob.update(data)
        if (file.listed.sha256 or file.listed.blob) in (sha256.hexdigest(), blob.hexdigest()):
            return sha256.hexdigest()
        file.trouble, file.false = "what the Hub sent in parts is not the file it lists: its digest is another one", True
        return ""


def _entry(listed: Listed) -> FileEntry:
    source: dict[str, str] = {"digest_source": "hub-lfs-oid" if listed.sha256 else "none"}
    return FileEntry.model_validate({"path": listed.path, "size": listed.size, "sha256": listed.sha256 or ""} | source)


def _with_head(spans: Sequence[Span], file: _File) -> list[Span]:
    """Return parts with the whole beginning of the file if they touch it: headers and directories stand there."""
    touches = any(at < HEAD for at, _ in spans)
    return [*spans, (0, min(HEAD, file.listed.size))] if touches else list(spans)


def _together(do: Callable[[T], R], things: Sequence[T]) -> list[R]:
    """Return what comes of each thing, several at a time; the first failure ends it."""
    if len(things) < 2:
        return [do(t) for t in things]
    with ThreadPoolExecutor(max_workers=min(_IN_FLIGHT, len(things))) as pool:
        jobs = [pool.submit(do, t) for t in things]
        try:
            return [job.result() for job in jobs]
        finally:
            pool.shutdown(cancel_futures=True)
