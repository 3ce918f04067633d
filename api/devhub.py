"""A folder served as a model hub: for demos, for rooms without internet, and, with faults added, for the tests.

    DIR/owner/name/…              one repository with the branch main
    DIR/owner/name/REVISION/…     the same with several revisions: a repository that holds folders only
    DIR/datasets/owner/name/…     a data set

Speaks as much of the Hub's HTTP as ``huggingface_hub`` was seen to call for downloads. Started by ``curator hub serve``.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import yaml

_CHUNK = 1 << 20
#: Above this, or with one of these endings, a file counts as being in large-file storage.
_LARGE = 10 << 20
_LARGE_ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack", ".parquet")
_CARD_BYTES = 1 << 20

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True)
class Asked:
    """One request: method, decoded path parts, lower-case headers, body."""

    method: str
    parts: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """One response; a body of chunks without a ``Content-Length`` ends with the connection."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""


@dataclass(frozen=True)
class Served:
    """One file of a repository."""

    path: str
    file: Path
    size: int
    sha256: str
    blob: str

    @property
    def large(self) -> bool:
        """Whether it counts as being in large-file storage."""
        return self.size > _LARGE or self.path.endswith(_LARGE_ENDINGS)

    def entry(self) -> dict[str, Json]:
        """Return it as a tree lists it."""
        lfs: Json = {"oid": self.sha256, "size": self.size, "pointerSize": 134}
        said: dict[str, Json] = {"type": "file", "path": self.path, "size": self.size, "oid": self.blob}
        return said | {"lfs": lfs} if self.large else said

    def sibling(self) -> dict[str, Json]:
        """Return it as a repository's description lists it."""
        lfs: Json = {"sha256": self.sha256, "size": self.size, "pointerSize": 134}
        said: dict[str, Json] = {"rfilename": self.path, "size": self.size, "blobId": self.blob}
        return said | {"lfs": lfs} if self.large else said


class DevHub:
    """Answers requests from a folder.

    Args:
        folder: Holds the repositories.
        gated: Names that need the token.
        token: The one that opens them.
    """

    def __init__(self, folder: Path, *, gated: Iterable[str] = (), token: str | None = None) -> None:
        self.folder, self.gated, self.token = folder, frozenset(gated), token
        self._digests: dict[tuple[str, int, int], tuple[str, str]] = {}

    def answer(self, asked: Asked) -> Answer:
        """Return the response to a request."""
        parts = asked.parts
        if parts[:1] == ("api",) and len(parts) >= 2 and parts[1] in ("models", "datasets"):
            return self._api(asked, parts[1], parts[2:])
        kind, parts = ("datasets", parts[1:]) if parts[:1] == ("datasets",) else ("models", parts)
        if len(parts) >= 5 and parts[2] == "resolve":
            return self._resolve(asked, kind, "/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return _refuse(404, "", "not found")

    def branches(self, kind: str, name: str) -> Mapping[str, Path]:
        """Return the folder of each revision of a repository; none if there is no such repository."""
        root = self.folder / "datasets" if kind == "datasets" else self.folder
        home = root / name
        if any(part in ("", ".", "..") for part in name.split("/")) or not home.is_dir():
            return {}
        inside = sorted(home.iterdir())
        if inside and all(p.is_dir() for p in inside):
            found = {p.name: p for p in inside}
            return found if "main" in found else {"main": inside[-1], **found}
        return {"main": home}

    def files(self, folder: Path) -> list[Served]:
        """Return the files below a folder, in path order; links and bookkeeping folders are left out."""
        found = []
        for at, folders, names in os.walk(folder):
            folders[:] = sorted(f for f in folders if f not in (".git", ".cache", "__pycache__"))
            for file in (Path(at) / n for n in names):
                if file.is_file() and not file.is_symlink():
                    sha256, blob = self._digest(file)
                    found.append(Served(file.relative_to(folder).as_posix(), file, file.stat().st_size, sha256, blob))
        return sorted(found, key=lambda f: f.path)

    def commit(self, files: Iterable[Served]) -> str:
        """Return the commit of a revision: the same content, the same 40 digits."""
        return hashlib.sha1("".join(f"{f.path}\0{f.sha256}\n" for f in files).encode(), usedforsecurity=False).hexdigest()

    def _digest(self, file: Path) -> tuple[str, str]:
        """Return SHA-256 and git object id of a file, from memory if it has not changed."""
        status = file.stat()
        key = (str(file), status.st_size, status.st_mtime_ns)
        if key not in self._digests:
            sha256, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % status.st_size, usedforsecurity=False)
            for chunk in _read(file, 0, status.st_size):
                sha256.update(chunk)
                blob.update(chunk)
            self._digests[key] = sha256.hexdigest(), blob.hexdigest()
        return self._digests[key]

    def _api(self, asked: Asked, kind: str, parts: tuple[str, ...]) -> Answer:
        if not parts:
            return _json([{"id": n, "modelId": n} for n in self._names()] if kind == "models" else [])
        name, rest = "/".join(parts[:2]), parts[2:]
        branches = self.branches(kind, name)
        if not branches:
            return _refuse(404, "RepoNotFound", "Repository not found")
        if rest[:1] == ("refs",):
            heads: Json = [
                {"name": b, "ref": f"refs/heads/{b}", "targetCommit": self.commit(self.files(f))} for b, f in branches.items()
            ]
            return _json({"branches": heads, "converts": [], "tags": []})
        pinned = self._pin(branches, rest[1] if len(rest) > 1 else "main")
        if pinned is None:
            return _refuse(404, "RevisionNotFound", "Invalid rev id")
        commit, files = pinned
        match rest[:1]:
            case () | ("revision",):
                return _json(self._description(kind, name, commit, files))
            case ("tree",):
                below = "/".join(rest[2:])
                return _json([f.entry() for f in files if f.path.startswith(below + "/" if below else "")])
            case ("paths-info",):
                wanted = _wanted(asked.body)
                return _json([f.entry() for f in files if f.path in wanted])
            case ("commits",):
                return _json([{"id": commit, "title": "content", "message": "", "authors": [], "date": "2026-01-01T00:00:00.000Z"}])
            case _:
                return _refuse(404, "", "not found")

    def _resolve(self, asked: Asked, kind: str, name: str, revision: str, path: str) -> Answer:
        branches = self.branches(kind, name)
        if not branches:
            return _refuse(404, "RepoNotFound", "Repository not found")
        if name in self.gated and asked.headers.get("authorization") != f"Bearer {self.token}":
            return _refuse(401, "GatedRepo", f"Access to model {name} is restricted")
        pinned = self._pin(branches, revision)
        if pinned is None:
            return _refuse(404, "RevisionNotFound", "Invalid rev id")
        file = next((f for f in pinned[1] if f.path == path), None)
        if file is None:
            return _refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": pinned[0]})
        return _file(asked, file, pinned[0])

    def _pin(self, branches: Mapping[str, Path], revision: str) -> tuple[str, list[Served]] | None:
        """Return commit and files of a branch or a commit."""
        chosen = [branches[revision]] if revision in branches else branches.values()
        for folder in chosen:
            files = self.files(folder)
            commit = self.commit(files)
            if revision in branches or commit == revision:
                return commit, files
        return None

    def _names(self) -> list[str]:
        found = (p.relative_to(self.folder).as_posix() for p in self.folder.glob("*/*") if p.is_dir())
        return sorted(n for n in found if not n.startswith("datasets/"))

    def _description(self, kind: str, name: str, commit: str, files: list[Served]) -> dict[str, Json]:
        card = _front_matter(next((f.file for f in files if f.path == "README.md"), None))
        bases = card.get("base_model")
        named = [str(b) for b in (bases if isinstance(bases, list) else [bases]) if b]
        tags = [f"base_model:{b}" for b in named] + ([f"license:{card['license']}"] if card.get("license") else [])
        return {
            "_id": hashlib.sha256(f"{kind}/{name}".encode()).hexdigest()[:24],
            "id": name,
            "modelId": name,
            "author": name.split("/")[0],
            "sha": commit,
            "lastModified": "2026-01-01T00:00:00.000Z",
            "private": False,
            "gated": "auto" if name in self.gated else False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": list[Json](tags),
            "cardData": {"license": card.get("license"), "base_model": bases} if card else None,
            "siblings": [f.sibling() for f in files],
        }


class Running:
    """A hub being served; a context manager.

    Args:
        hub: Answers.
        host: Address to listen on.
        port: 0: any free one.
    """

    def __init__(self, hub: DevHub, host: str, port: int) -> None:
        self._server = ThreadingHTTPServer((host, port), _handler(hub))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self.url = f"http://{host}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self) -> None:
        """Return when the server has ended, or at Ctrl-C."""
        try:
            self._thread.join()
        except KeyboardInterrupt:
            return


def serve(folder: Path, host: str = "127.0.0.1", port: int = 0) -> Running:
    """Serve a folder as a hub.

    Args:
        folder: Holds ``owner/name`` folders.
        host: Address to listen on.
        port: 0: any free one.

    Returns:
        A context manager; its ``url`` is the endpoint.
    """
    return Running(DevHub(folder), host, port)


def _handler(hub: DevHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60
        disable_nagle_algorithm = True  # head and body are two writes; a reader of many small ranges would wait 40 ms for each

        def do_GET(self) -> None:
            length = self.headers.get("Content-Length", "0")
            body = self.rfile.read(min(int(length), _CHUNK)) if length.isdigit() else b""
            parts = tuple(unquote(p) for p in urlsplit(self.path).path.strip("/").split("/"))
            answer = hub.answer(Asked(self.command, parts, {k.lower(): v for k, v in self.headers.items()}, body))
            headers = dict(answer.headers)
            if isinstance(answer.body, bytes):
                headers.setdefault("Content-Length", str(len(answer.body)))
            elif "Content-Length" not in headers:
                headers["Connection"] = "close"
            self.send_response(answer.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self._send([answer.body] if isinstance(answer.body, bytes) else answer.body)

        do_HEAD = do_POST = do_GET  # noqa: N815 - the names the server calls

        def _send(self, chunks: Iterable[bytes]) -> None:
            try:
                for chunk in chunks:
                    self.wfile.write(chunk)
            except OSError:  # the reader went away, or a test cut the line
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the server's own name
            """Say nothing."""

    return Handler


def _file(asked: Asked, file: Served, commit: str) -> Answer:
    """Return a file, or the part of it that was asked for."""
    digest = file.sha256 if file.large else file.blob
    headers = {"X-Repo-Commit": commit, "ETag": f'"{digest}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    if file.large:
        headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(file.size)}
    start, end, status = 0, file.size, 200
    unit, _, wanted = asked.headers.get("range", "").partition("=")
    first, _, last = wanted.partition("-")
    if unit == "bytes" and first.isdigit():
        start, end, status = int(first), min(int(last) + 1, file.size) if last.isdigit() else file.size, 206
        if start >= file.size:
            return Answer(416, {"Content-Range": f"bytes */{file.size}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    headers["Content-Length"] = str(max(0, end - start))
    return Answer(status, headers, _read(file.file, start, end))


def _read(file: Path, start: int, end: int) -> Iterator[bytes]:
    with file.open("rb") as stream:
        stream.seek(start)
        while start < end and (chunk := stream.read(min(_CHUNK, end - start))):
            start += len(chunk)
            yield chunk


def _json(value: object) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(value, default=str).encode())


def _refuse(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    named = {"X-Error-Code": code} if code else {}
    body = json.dumps({"error": message}).encode()
    return Answer(status, {"Content-Type": "application/json", "X-Error-Message": message, **named, **(headers or {})}, body)


def _wanted(body: bytes) -> frozenset[str]:
    """Return the paths a paths-info request asks for, as form or JSON."""
    try:
        paths = json.loads(body)["paths"]
    except (ValueError, KeyError, TypeError):
        paths = [unquote(p.partition("=")[2].replace("+", " ")) for p in body.decode(errors="replace").split("&")]
    return frozenset(str(p) for p in paths) if isinstance(paths, list) else frozenset()


def _front_matter(card: Path | None) -> dict[str, Json]:
    """Return the head of a model card, or nothing if there is none that can be read."""
    if card is None or card.stat().st_size > _CARD_BYTES:
        return {}
    parts = card.read_text(errors="replace").split("---\n", 2)
    try:
        head = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except (yaml.YAMLError, ValueError):
        return {}
    return head if isinstance(head, dict) else {}
