"""The development hub with faults, for the real client: it moves branches, lies, drops connections and counts requests.

Each fault is a method of ``Faults`` a test switches on; without one it is ``api.devhub`` unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from api.devhub import Answer, Asked, DevHub, Running


@dataclass
class Faults:
    """What goes wrong; every field off by default."""

    #: Bytes after which the connection breaks, and how often that happens.
    drop_after: int | None = None
    drops: int = 0
    #: Answers given before the real one, in order.
    first: list[Answer] = field(default_factory=list)
    #: Where files are fetched from instead: an address to which the path is added.
    redirect: str | None = None
    #: Path of the file whose content is altered in transit, or that never ends, or is longer or shorter than listed.
    altered: str | None = None
    endless: str | None = None
    longer: str | None = None
    #: Sizes the listing claims.
    listed_size: Mapping[str, int] = field(default_factory=dict)
    #: Files the listing adds.
    listed_extra: tuple[str, ...] = ()
    #: Whether ranges are ignored, as some mirrors do.
    no_ranges: bool = False
    #: How answers to range requests lie: ``path``, and from which answer on (``after``), with ``total``, ``shift``, ``shorter``,
    #: ``longer``, ``flip``, ``status`` or ``headers`` of its own.
    range_lie: Mapping[str, object] = field(default_factory=dict)
    #: Revision the branch main stands for after the first look at it.
    moves_to: str | None = None


class Simulator(DevHub):
    """Serves a folder and misbehaves as told."""

    def __init__(self, folder: Path, *, gated: tuple[str, ...] = (), token: str | None = None) -> None:
        super().__init__(folder, gated=gated, token=token)
        self.faults = Faults()
        self.asked: list[Asked] = []
        self.ranges = 0

    def answer(self, asked: Asked) -> Answer:
        """Return the devhub's answer, spoilt."""
        self.asked.append(asked)
        if self.faults.first:
            return self.faults.first.pop(0)
        if self.faults.no_ranges:
            asked = replace(asked, headers={k: v for k, v in asked.headers.items() if k != "range"})
        if "resolve" in asked.parts:
            return self._spoilt(asked)
        answer = super().answer(asked)
        if asked.parts[:2] == ("api", "models") and answer.status == 200 and isinstance(answer.body, bytes):
            answer = self._relisted(answer, answer.body)
        return answer

    def branches(self, kind: str, name: str) -> Mapping[str, Path]:
        """Return the branches; main moves once it was looked at."""
        found = dict(super().branches(kind, name))
        if self.faults.moves_to in found and any("revision" in a.parts for a in self.asked[:-1]):
            found |= {"before": found["main"], "main": found[str(self.faults.moves_to)]}
        return found

    def paths(self, *, method: str = "GET") -> list[str]:
        """Return what was downloaded, in order."""
        return ["/".join(a.parts[4:]) for a in self.asked if "resolve" in a.parts and a.method == method]

    def _lying(self, answer: Answer, chunks: Iterable[bytes]) -> Answer:
        self.ranges += 1
        if self.ranges <= int(str(self.faults.range_lie.get("after", 0))):
            return answer
        return _ranged_lie(answer, chunks, self.faults.range_lie)

    def _relisted(self, answer: Answer, body: bytes) -> Answer:
        said = json.loads(body)
        for sibling in said.get("siblings", ()) if isinstance(said, dict) else ():
            size = self.faults.listed_size.get(sibling["rfilename"])
            if size is not None:
                sibling["size"] = size
                if "lfs" in sibling:
                    sibling["lfs"]["size"] = size
        if isinstance(said, dict) and "siblings" in said:
            said["siblings"] += [{"rfilename": n, "size": 1, "blobId": "0" * 40} for n in self.faults.listed_extra]
        return replace(answer, body=json.dumps(said).encode())

    def _spoilt(self, asked: Asked) -> Answer:
        path = "/".join(asked.parts[4:])
        if self.faults.redirect:
            return Answer(302, {"Location": f"{self.faults.redirect}/{'/'.join(asked.parts)}"})
        answer = super().answer(asked)
        if answer.status not in (200, 206) or isinstance(answer.body, bytes):
            return answer
        if path == self.faults.altered:
            return replace(answer, body=[bytes(255 - b for b in chunk) for chunk in answer.body])
        if path == self.faults.longer:
            return replace(answer, headers={"Connection": "close"}, body=[*answer.body, b"more"])
        if path == self.faults.endless:
            return replace(answer, headers={}, body=_zeros())
        if path == self.faults.range_lie.get("path") and answer.status == 206:
            return self._lying(answer, answer.body)
        length = int(answer.headers.get("Content-Length", "0"))
        if self.faults.drop_after is not None and length > self.faults.drop_after and self.faults.drops > 0:
            self.faults.drops -= 1
            return replace(answer, body=_cut(answer.body, self.faults.drop_after))
        return answer


def _ranged_lie(answer: Answer, chunks: Iterable[bytes], lie: Mapping[str, object]) -> Answer:
    """Return the answer to a range request, spoilt."""
    headers, body = dict(answer.headers), b"".join(chunks)
    first, last = headers["Content-Range"].removeprefix("bytes ").split("/")[0].split("-")
    size = lie.get("total", headers["Content-Range"].rpartition("/")[2])
    shift = int(str(lie.get("shift", 0)))
    headers["Content-Range"] = f"bytes {int(first) + shift}-{int(last) + shift}/{'*' if size is None else size}"
    body = bytes(255 - b for b in body) if lie.get("flip") else body
    if "shorter" in lie or "longer" in lie:
        headers = {k: v for k, v in headers.items() if k != "Content-Length"} | {"Connection": "close"}
        body = body[: len(body) - int(str(lie.get("shorter", 0)))] + b"x" * int(str(lie.get("longer", 0)))
    given = lie.get("headers")
    headers |= given if isinstance(given, dict) else {}
    if "status" in lie:
        return Answer(int(str(lie["status"])), {}, b"{}")
    return Answer(answer.status, headers, [body])


def _zeros() -> Iterator[bytes]:
    while True:
        yield bytes(1 << 16)


def _cut(chunks: object, after: int) -> Iterator[bytes]:
    whole = b"".join(chunks)  # type: ignore[call-overload]
    yield whole[:after]
    raise ConnectionAbortedError("the line was cut")


def running(hub: DevHub) -> Running:
    """Serve a hub on a free port of localhost."""
    return Running(hub, "127.0.0.1", 0)


def fill(root: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
