"""A desk for tests of signed verdicts: a folder, a base, two keys, a verdict over the files, and ways to forge it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from api import attest as attesting
from api.settings import Settings
from governance.signing import LocalSigner, TrustedKey, make_key, read_private, read_public, seal
from governance.statements import VERDICT
from governance.subject import FileEntry, Subject
from governance.verdict import Scorecard
from tests.conftest import ON
from tests.scorecards import SCORECARDS

FILES = {"adapter_config.json": b'{"r": 8}', "adapter_model.safetensors": b"\x08\x00weights", "sub/extra.txt": b"words"}
BASE = {"config.json": b"{}", "model.safetensors": b"base weights"}


def subject(original: Subject, files: dict[str, bytes]) -> Subject:
    entries = tuple(
        FileEntry(path=p, size=len(d), sha256=hashlib.sha256(d).hexdigest(), sha512=hashlib.sha512(d).hexdigest())
        for p, d in sorted(files.items())
    )
    return original.model_copy(update={"files": entries})


def scorecard(name: str = "approve", files: dict[str, bytes] = FILES) -> Scorecard:
    card = SCORECARDS[name]
    composition = card.dossier.composition
    assert composition.base is not None
    changed = composition.model_copy(
        update={"adapter": subject(composition.adapter, files), "base": subject(composition.base, BASE)}
    )
    return card.model_copy(update={"dossier": card.dossier.model_copy(update={"composition": changed})})


class Bom:
    id, version, media_type, suffix = "cyclonedx", "1", "application/vnd.cyclonedx+json", ".cdx.json"

    def render(self, card: Scorecard) -> bytes:
        return json.dumps({"bomFormat": "CycloneDX", "run": card.run_id}).encode()


@dataclass(frozen=True)
class Desk:
    """A folder, a signed verdict over it, and who is trusted."""

    root: Path
    signer: LocalSigner
    other: LocalSigner
    trusted: TrustedKey
    card: Scorecard

    @property
    def folder(self) -> Path:
        return self.root / "adapter"

    @property
    def base(self) -> Path:
        return self.root / "base"

    @property
    def envelope(self) -> Path:
        return self.root / "verdict.intoto.jsonl"

    @property
    def bom(self) -> Path:
        return self.root / "bom.json"

    def write(self, card: Scorecard | None = None, signer: LocalSigner | None = None) -> bytes:
        envelopes, bom = attesting.attest(
            card or self.card, signer or self.signer, {"cyclonedx": Bom()}, valid_for=timedelta(days=90), now=ON
        )
        self.envelope.write_bytes(envelopes)
        self.bom.write_bytes(bom)
        return envelopes

    def problems(self, **more: Any) -> list[str]:
        given: dict[str, Any] = {"base": self.base, "bom": self.bom, "policy": self.card.verdict.policy_digest, "at": ON, **more}
        trusted = given.pop("trusted", (self.trusted,))
        done = attesting.verify(self.envelope, self.folder, trusted, settings=Settings(home=self.root / "home"), **given)
        assert (done.bundle is None) == any(p.code == "envelope" for p in done.problems)
        return [f"{p.code}: {p.message}" for p in done.problems]

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.envelope.read_bytes().splitlines()]

    def rewrite(self, change: Callable[[list[dict[str, Any]]], object]) -> None:
        lines = self.lines()
        change(lines)
        self.envelope.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def forge(self, change: Callable[[dict[str, Any]], object], which: str = VERDICT, signer: LocalSigner | None = None) -> None:
        """Change what one statement says, keeping the old signature or making one with another key."""
        lines = self.lines()
        for line in lines:
            said = json.loads(base64.b64decode(line["payload"]))
            if said["predicateType"] != which:
                continue
            change(said)
            payload = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
            line["payload"] = base64.b64encode(payload).decode()
            if signer is not None:
                line.clear()
                line.update(json.loads(seal(payload, signer)))
        self.envelope.write_text("".join(json.dumps(line) + "\n" for line in lines))


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def make_desk(root: Path) -> Desk:
    fill(root / "adapter", FILES)
    fill(root / "base", BASE)
    public, _ = make_key(root / "a.key")
    make_key(root / "b.key")
    desk = Desk(root, read_private(root / "a.key"), read_private(root / "b.key"), read_public(public), scorecard())
    desk.write()
    return desk
