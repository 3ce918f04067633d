"""A content-addressed folder: the bytes of every subject, and the rows of every scored item.

    blobs/ab/abcdef…            one file by its SHA-256
    snapshots/<subject digest>/ the files of one subject under their own names (hard links to blobs)
    rows/<model key>.jsonl      item rows, one a line, appended as they arrive

Written by the curator's own process alone (``governance.hub`` and the pipeline's ``keep``); children read it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pydantic import ValidationError

from governance.errors import CuratorError, LimitError, SubjectError
from governance.evidence import ItemRow
from governance.subject import FileEntry, Subject

_CHUNK = 1 << 20


@contextmanager
def _disk(action: str) -> Iterator[None]:
    """Turn a full or broken disk into an error a person can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise CuratorError(
                f"no space left while {action}: {error.strerror}",
                hint="free space, or point CURATOR_HOME at a larger disk; the same command resumes",
            ) from error
        raise CuratorError(f"the disk failed while {action}: {error}", hint="check the disk and its permissions") from error


class Store:
    """One store on disk.

    Args:
        root: Its folder; made on the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._last: tuple[Subject, Path] | None = None

    def folder(self, subject: Subject) -> Path:
        """Return the folder that holds the subject's files under their own names."""
        last = self._last  # a subject's digest covers all its files: computed once, not once for each of them
        if last is None or last[0] is not subject:
            last = self._last = (subject, self.root / "snapshots" / subject.digest)
        return last[1]

    def path(self, subject: Subject, name: str) -> Path:
        """Return the path of one file of a subject.

        Raises:
            SubjectError: The subject has no such file, or it was not downloaded.
        """
        entry = subject.file(name)
        if entry is None or not entry.present:
            raise SubjectError(f"{subject} holds no file {name!r} here")
        return self.folder(subject) / PurePosixPath(name)

    def blob(self, sha256: str) -> Path:
        """Return where the blob with this digest lies, or would lie."""
        return self.root / "blobs" / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Return whether the blob is here."""
        return self.blob(sha256).is_file()

    def take(self, stream: BinaryIO, *, limit: int, checkpoint: Callable[[int], None] = lambda _: None) -> tuple[str, str, int]:
        """Copy a stream into the store while hashing it.

        Args:
            stream: Bytes, read to the end.
            limit: Most bytes taken.
            checkpoint: Called with the bytes so far after each chunk; may raise to stop.

        Returns:
            SHA-256, SHA-512 and size in bytes.

        Raises:
            LimitError: The stream is longer than ``limit``.
            CuratorError: The disk is full or failed.
        """
        sha256, sha512, size = hashlib.sha256(), hashlib.sha512(), 0
        with _disk("copying into the store"):
            scratch = self.root / "incoming"
            scratch.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=scratch)
        try:
            with os.fdopen(handle, "wb") as out:
                while chunk := stream.read(_CHUNK):
                    size += len(chunk)
                    if size > limit:
                        raise LimitError("a file is larger than allowed", limit=limit, actual=size, hint="raise limits.file_bytes")
                    sha256.update(chunk)
                    sha512.update(chunk)
                    with _disk("copying into the store"):
                        out.write(chunk)
                    checkpoint(size)
                with _disk("copying into the store"):
                    out.flush()
                    os.fsync(out.fileno())
            target = self.blob(sha256.hexdigest())
            with _disk("filing a copy in the store"):
                target.parent.mkdir(parents=True, exist_ok=True)
                os.chmod(name, 0o444)
                os.replace(name, target)
        finally:
            Path(name).unlink(missing_ok=True)
        return sha256.hexdigest(), sha512.hexdigest(), size

    def materialize(self, subject: Subject) -> Path:
        """Lay the subject's files out under their own names.

        Args:
            subject: Its present files must be blobs here already.

        Returns:
            The folder; read-only by convention.

        Raises:
            CuratorError: The disk is full or failed.
        """
        folder = self.folder(subject)
        if folder.is_dir():  # an audit that needed less of the same subject may have made it
            with _disk("completing a snapshot"):
                for entry in subject.files:
                    if entry.present and not (folder / PurePosixPath(entry.path)).exists():
                        self._lay(entry, folder)
            return folder
        with _disk("laying out a snapshot"):
            (self.root / "snapshots").mkdir(parents=True, exist_ok=True)
            building = Path(tempfile.mkdtemp(dir=self.root / "snapshots", prefix=".building-"))
            for entry in subject.files:
                if not entry.present:
                    continue
                self._lay(entry, building)
            try:
                os.rename(building, folder)
            except OSError as error:  # another run was faster; its copy has the same content
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                shutil.rmtree(building)
        return folder

    def _lay(self, entry: FileEntry, folder: Path) -> None:
        """Give a blob its name in a snapshot, all at once."""
        target = folder / PurePosixPath(entry.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(self.blob(entry.sha256), target)
        except FileExistsError:  # another run was faster
            return
        except OSError as error:
            if error.errno not in (errno.EMLINK, errno.EPERM, errno.EXDEV, errno.ENOTSUP):
                raise
            handle, name = tempfile.mkstemp(dir=self.root / "snapshots", prefix=".building-")
            os.close(handle)
            shutil.copyfile(self.blob(entry.sha256), name)
            os.chmod(name, 0o444)
            os.replace(name, target)

    def rows(self, model_key: str) -> dict[str, ItemRow]:
        """Return the rows kept under a model key, by item key. A torn last line is left out.

        Args:
            model_key: 64 hexadecimal digits.
        """
        found: dict[str, ItemRow] = {}
        path = self._rows_path(model_key)
        if not path.is_file():
            return found
        with path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                try:
                    row = ItemRow.model_validate_json(line)
                except ValidationError:
                    continue
                found.setdefault(row.item_key, row)
        return found

    def keep(self, row: ItemRow) -> None:
        """Append one row; it is on disk when this returns."""
        with _disk("keeping a scored item"):
            path = self._rows_path(row.model_key)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as out:
                if out.tell() and not _ends_whole(path):
                    out.write(b"\n")
                out.write(json.dumps(row.model_dump(mode="json"), separators=(",", ":")).encode() + b"\n")

    def _rows_path(self, model_key: str) -> Path:
        if not model_key.isalnum():
            raise CuratorError(f"{model_key!r} is no model key")
        return self.root / "rows" / f"{model_key}.jsonl"


def _ends_whole(path: Path) -> bool:
    """Return whether the file ends with a line break, as every finished row does."""
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"
