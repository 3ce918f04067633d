"""One folder as a subject: a bounded copy of its files into the store, each hashed on the way.

Links are followed only inside the folder, or inside the cache of a Hub client the folder belongs to. What is not taken in
is listed with its reason. Nothing is parsed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from governance.context import Progress, RunContext
from governance.errors import LimitError, SubjectError
from governance.hub.asides import acting
from governance.hub.names import colliding, refusal, shown
from governance.hub.selection import Choice
from governance.store import Store
from governance.subject import ArtifactRef, FileEntry, Held, SourceKind, Subject

_CHUNK = 1 << 20
#: Above this a file is hashed before it is copied, to spare a copy the store has already.
_WORTH_LOOKING = 8 << 20


@dataclass(frozen=True)
class _Found:
    """One entry of the folder: the file to read, or why not."""

    path: str
    file: Path
    size: int = 0
    link: str | None = None
    refused: str | None = None


def take_folder(ref: ArtifactRef, ctx: RunContext, choice: Choice) -> Subject:
    """Copy a folder into the store.

    Args:
        ref: Its ``name`` is the folder's path.
        ctx: Limits, store, progress.
        choice: Which files are needed.

    Returns:
        The subject; its files lie in the store under their own names.

    Raises:
        SubjectError: It is missing, no folder, empty, or may not be read.
        LimitError: It holds more files or bytes than allowed.
    """
    found, refused = _chosen(ref.name, ctx, choice)
    files = tuple(_take(entry, ctx) for entry in found)
    subject = Subject(source=SourceKind.LOCAL, name=ref.name, files=files, refused=refused)
    ctx.store.materialize(subject)
    return subject


def in_place(ref: ArtifactRef, ctx: RunContext, choice: Choice) -> Subject:
    """Return a folder, or one file, as a subject whose bytes are read where they lie: nothing is copied or hashed.

    Args:
        ref: Its ``name`` is the path.
        ctx: Limits.
        choice: Which files are needed.

    Returns:
        The subject, held in its folder; the digests of its files are empty.

    Raises:
        SubjectError: It is missing, empty, or may not be read.
        LimitError: It holds more files or bytes than allowed.
    """
    path = Path(ref.name)
    if path.is_file():
        found, refused = [_alone(path)], list[tuple[str, str]]()
    else:
        found, listed = _chosen(ref.name, ctx, choice)
        refused = list(listed)
    entries = [FileEntry(path=f.path, size=f.size, sha256="", digest_source="none", link=f.link) for f in found]
    return Subject(source=SourceKind.LOCAL, name=ref.name, held=Held.FOLDER, files=tuple(entries), refused=tuple(refused))


def folder_of(name: str) -> Path:
    """Return the folder below which the files of a subject held in place lie; a file that was asked for lies in its own."""
    path = Path(name)
    return path.parent if path.is_file() else path


def readable_of(name: str) -> tuple[Path, ...]:
    """Return the folders a reader of a subject held in place needs: its own, and the one its links may lead into."""
    folder = folder_of(name).resolve()
    cache = _cache_of(folder)
    return (folder,) if cache == folder else (folder, cache / "blobs")


def _alone(path: Path) -> _Found:
    """Return one file that was asked for by its own name."""
    size = path.stat().st_size
    return _Found(path.name, path.resolve(), size=size, link=os.readlink(path) if path.is_symlink() else None)


def _chosen(name: str, ctx: RunContext, choice: Choice) -> tuple[list[_Found], tuple[tuple[str, str], ...]]:
    """Return the files of a folder that are needed and may be taken, and (name, reason) of the others."""
    root = _root(name)
    found: list[_Found] = []
    for entry in _walk(root, root, root, _cache_of(root)):
        found.append(entry)
        if len(found) > ctx.limits.files:
            raise LimitError(
                f"{name} holds more than {ctx.limits.files} files",
                limit=ctx.limits.files,
                actual=len(found),
                hint="audit the folder of one adapter, or raise limits.files",
            )
    usable = {f.path: f for f in found if f.refused is None}
    twins = colliding(usable)
    refused = [(shown(f.path), f.refused) for f in found if f.refused is not None]
    refused += [(shown(path), reason) for path, reason in twins.items()]
    taken, total = list[_Found](), 0
    wanted = sorted(path for path in usable if path not in twins)
    for path in wanted:
        reason = choice(wanted, path) or _too_large(usable[path].size, total, ctx)
        if reason:
            refused.append((path, reason))
            continue
        total += usable[path].size
        taken.append(usable[path])
    if not taken and not refused:
        raise SubjectError(
            f"{name} holds no file to audit", hint="give the folder with adapter_config.json and adapter_model.safetensors"
        )
    return taken, tuple(sorted(refused))


def _root(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.exists():
        raise SubjectError(f"there is no folder {name}", hint="check the path; a Hub name is owner/name without ./ before it")
    if not path.is_dir():
        raise SubjectError(f"{name} is a file, not a folder", hint=f"give the folder that holds it: {path.parent}")
    return path.resolve()


def _cache_of(root: Path) -> Path:
    """Return what links may point into: the Hub cache the folder is a snapshot of, else the folder itself.

    Source:
        huggingface_hub, "Understand caching": models--OWNER--NAME/{blobs,refs,snapshots/COMMIT}.
    """
    if root.parent.name == "snapshots" and root.parent.parent.name.startswith("models--"):
        return root.parent.parent
    return root


def _walk(folder: Path, root: Path, start: Path, cache: Path) -> Iterator[_Found]:
    """Yield every file below a folder in name order; folders that hold no content are yielded once, refused."""
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except OSError as error:
        if folder == start:
            raise SubjectError(f"{folder} cannot be read: {error.strerror}", hint="check its permissions") from error
        yield _Found(folder.relative_to(root).as_posix() + "/", folder, refused=f"cannot be read: {error.strerror}")
        return
    for entry in entries:
        file = Path(entry.path)
        path = file.relative_to(root).as_posix()
        reason = refusal(path)
        if entry.is_dir(follow_symlinks=False):
            if reason:
                yield _Found(path + "/", file, refused=reason)
                yield from (_Found(name, file, refused=why) for name, why in acting(file, path))
            else:
                yield from _walk(file, root, start, cache)
        elif reason:
            yield _Found(path, file, refused=reason)
        else:
            yield _look(entry, path, root, cache)


def _look(entry: os.DirEntry[str], path: str, root: Path, cache: Path) -> _Found:
    """Return what a name that is no folder stands for."""
    file, link = Path(entry.path), None
    try:
        if entry.is_symlink():
            link = os.readlink(file)
            file = file.resolve(strict=True)
            if not (file.is_relative_to(root) or file.is_relative_to(cache / "blobs")):
                return _Found(path, file, refused="a link that leads out of the folder; it was not followed")
            if Path(entry.path).parent.resolve().is_relative_to(file):
                return _Found(path, file, refused="a link to a folder it lies in: whoever follows it never comes back")
            if file.is_dir():
                return _Found(path, file, refused="a link to a folder; its files are read under their own names")
        status = file.stat(follow_symlinks=False)
    except (OSError, RuntimeError) as error:  # a loop of links is one or the other, by Python version
        return _Found(path, file, refused=f"cannot be read: {getattr(error, 'strerror', None) or 'the link leads nowhere'}")
    if not stat.S_ISREG(status.st_mode):
        return _Found(path, file, refused="a device, pipe or socket, not a file")
    return _Found(path, file, size=status.st_size, link=shown(link) if link is not None else None)


def _too_large(size: int, total: int, ctx: RunContext) -> str | None:
    if size > ctx.limits.file_bytes:
        return f"{size} bytes; one file may have {ctx.limits.file_bytes} (limits.file_bytes)"
    if total + size > ctx.limits.total_bytes:
        return f"{size} bytes; the whole would pass {ctx.limits.total_bytes} (limits.total_bytes)"
    return None


def _take(found: _Found, ctx: RunContext) -> FileEntry:
    """Copy one file into the store unless it is there."""

    def tell(done: int) -> None:
        ctx.checkpoint()
        if done % _WORTH_LOOKING == 0:
            ctx.emit(Progress(run_id=ctx.run_id, step="acquire", item=found.path, done=done, total=found.size))

    ctx.checkpoint()
    try:
        known = _known(found, ctx.store, tell)
        if known is None:
            with open(os.open(found.file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
                known = ctx.store.take(stream, limit=min(ctx.limits.file_bytes, found.size), checkpoint=tell)
    except LimitError as error:
        raise SubjectError(f"{found.path} grew while it was read", hint="wait until nothing writes to the folder") from error
    except OSError as error:
        raise SubjectError(f"{found.path} cannot be read: {error.strerror}", hint="check its permissions") from error
    sha256, sha512, size = known
    return FileEntry(path=found.path, size=size, sha256=sha256, sha512=sha512, link=found.link)


def _known(found: _Found, store: Store, tell: Callable[[int], None]) -> tuple[str, str, int] | None:
    """Return the digests of a large file the store has already, or None."""
    if found.size < _WORTH_LOOKING:
        return None
    with open(os.open(found.file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
        digests = hash_stream(stream, tell)
    return digests if store.has(digests[0]) else None


def hash_stream(stream: BinaryIO, tell: Callable[[int], None]) -> tuple[str, str, int]:
    """Return SHA-256, SHA-512 and size of a stream.

    Args:
        stream: Read to its end.
        tell: Called with the bytes so far after each chunk; may raise to stop.
    """
    sha256, sha512, size = hashlib.sha256(), hashlib.sha512(), 0
    while chunk := stream.read(_CHUNK):
        sha256.update(chunk)
        sha512.update(chunk)
        size += len(chunk)
        tell(size)
    return sha256.hexdigest(), sha512.hexdigest(), size
