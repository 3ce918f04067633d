"""One repository of a Hub as a subject: what is needed of it, within the limits, in the store and verified."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping

from governance.context import Progress, RunContext
from governance.errors import CuratorError, LimitError, SubjectError
from governance.hub.client import HubClient, Pinned
from governance.hub.local import hash_stream
from governance.hub.names import colliding, refusal, shown
from governance.hub.selection import Choice, rank
from governance.hub.transfer import Listed
from governance.subject import FileEntry, Held, SourceKind, Subject

_TELL_EACH = 8 << 20


def fetch(client: HubClient, pinned: Pinned, ctx: RunContext, choice: Choice, *, revision: str | None, whole: bool) -> Subject:
    """Download what is needed of a pinned repository.

    Args:
        client: Of the endpoint it was pinned at.
        pinned: The repository.
        ctx: Limits, store, progress.
        choice: Which files are needed.
        revision: As asked for, to be recorded.
        whole: Whether a needed file above a limit ends it; else the file is refused and the rest taken.

    Returns:
        The subject; its present files lie in the store under their own names.

    Raises:
        LimitError: It holds too many files, or, if ``whole``, too many bytes.
        SubjectError: A file is not what the Hub lists, or may not be read.
        CuratorError: There is no room on the disk.
    """
    usable, unneeded, refused = sort_out(pinned, ctx, choice)
    needed = sorted((f for path, f in usable.items() if path not in unneeded), key=lambda f: rank(f.path, f.size))
    above = _above(needed, ctx)
    if above and whole:
        path, reason = next(iter(above.items()))
        raise LimitError(
            f"{pinned.name} is larger than allowed: {path} has {reason}",
            limit=ctx.limits.total_bytes,
            actual=sum(f.size for f in needed),
            hint="raise the limit named, e.g. CURATOR_LIMITS__TOTAL_BYTES",
        )
    refused.update(above)
    needed = [f for f in needed if f.path not in above]
    _assert_room(needed, ctx)
    files = [take(client, pinned, f, ctx) for f in needed]
    subject = subject_of(pinned, [*files, *absent(usable, unneeded, refused)], refused, revision)
    ctx.store.materialize(subject)
    return subject


def sort_out(pinned: Pinned, ctx: RunContext, choice: Choice) -> tuple[dict[str, Listed], dict[str, str], dict[str, str]]:
    """Return the files that may be taken in, those of them that are not needed with the reason, and those that are refused.

    Raises:
        LimitError: There are too many files.
    """
    if len(pinned.files) > ctx.limits.files:
        raise LimitError(
            f"{pinned.name} lists {len(pinned.files)} files",
            limit=ctx.limits.files,
            actual=len(pinned.files),
            hint="raise limits.files",
        )
    refused = {f.path: reason for f in pinned.files if (reason := refusal(f.path))}
    usable = {f.path: f for f in pinned.files if f.path not in refused}
    refused.update(colliding(usable))
    usable = {path: f for path, f in usable.items() if path not in refused}
    unneeded = {path: reason for path in usable if (reason := choice(usable.keys(), path))}
    return usable, unneeded, refused


def absent(usable: Mapping[str, Listed], unneeded: Mapping[str, str], refused: dict[str, str]) -> list[FileEntry]:
    """Return entries of files that are listed and not needed; one without a digest is added to those refused."""
    found = []
    for path, reason in unneeded.items():
        listed = usable[path]
        if listed.sha256:
            found.append(FileEntry(path=path, size=listed.size, sha256=listed.sha256, digest_source="hub-lfs-oid", present=False))
        else:
            refused[path] = reason
    return found


def subject_of(
    pinned: Pinned, files: Iterable[FileEntry], refused: Mapping[str, str], revision: str | None, held: Held = Held.STORE
) -> Subject:
    """Return a pinned repository as a subject."""
    return Subject(
        source=SourceKind.HUB,
        name=pinned.name,
        held=held,
        commit=pinned.commit,
        requested_revision=revision,
        files=tuple(sorted(files, key=lambda f: f.path)),
        refused=tuple(sorted((shown(path), reason) for path, reason in refused.items())),
        owner_id=pinned.owner,
        repository_id=pinned.repository,
        license=pinned.license,
        created=pinned.created,
    )


def _above(needed: Iterable[Listed], ctx: RunContext) -> dict[str, str]:
    """Return the files that pass a limit, in order of download."""
    found, total = dict[str, str](), 0
    for file in needed:
        if file.size > ctx.limits.file_bytes:
            found[file.path] = f"{file.size} bytes; one file may have {ctx.limits.file_bytes} (limits.file_bytes)"
        elif total + file.size > ctx.limits.total_bytes:
            found[file.path] = f"{file.size} bytes; the whole would pass {ctx.limits.total_bytes} (limits.total_bytes)"
        else:
            total += file.size
    return found


def _assert_room(needed: Iterable[Listed], ctx: RunContext) -> None:
    """Refuse before the first byte what the disk cannot hold."""
    missing = sum(f.size for f in needed if not (f.sha256 and ctx.store.has(f.sha256)))
    ctx.store.root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(ctx.store.root).free
    if missing > free:
        raise CuratorError(
            f"{missing} bytes are to be downloaded and the disk has {free} left",
            hint="free space, or point CURATOR_HOME at a larger disk",
        )


def take(client: HubClient, pinned: Pinned, file: Listed, ctx: RunContext) -> FileEntry:
    """Return one file in the store: the copy that is there, or a fresh one."""

    def tell(done: int) -> None:
        ctx.checkpoint()
        if done % _TELL_EACH == 0 or done == file.size:
            ctx.emit(Progress(run_id=ctx.run_id, step="acquire", item=file.path, done=done, total=file.size))

    if file.sha256 and ctx.store.has(file.sha256):
        with ctx.store.blob(file.sha256).open("rb") as copy:
            sha256, sha512, size = hash_stream(copy, tell)
        if sha256 == file.sha256:  # else the disk altered the copy, and a fresh one replaces it
            return FileEntry(path=file.path, size=size, sha256=sha256, sha512=sha512)
    try:
        with client.open(pinned, file, ctx) as stream:
            sha256, sha512, size = ctx.store.take(stream, limit=file.size, checkpoint=tell)
    except LimitError as error:
        raise SubjectError(f"{file.path} is longer than the Hub lists", hint="try again later") from error
    return FileEntry(path=file.path, size=size, sha256=sha256, sha512=sha512)
