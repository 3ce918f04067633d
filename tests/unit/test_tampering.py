"""Ways to change a file, an envelope, the policy or a bill of materials after signing. Every one of them is caught."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="keys need it")

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api import attest as attesting
from governance.canonical import pae
from governance.errors import CuratorError, PrerequisiteError, SignatureError
from governance.signing import IN_TOTO, read_public
from governance.statements import REFERENCE, VERDICT
from governance.verdict import Decision
from tests.conftest import ON
from tests.signed_desk import FILES, Bom, Desk, fill, make_desk, scorecard


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make_desk(tmp_path)


def test_an_honest_verdict_holds(desk: Desk) -> None:
    assert desk.problems() == []
    assert desk.problems(base=None, bom=None, policy=None) == []
    (desk.folder / ".git").mkdir()
    assert desk.problems() == [], "a clone's own records are no part of the model"


def _flip(path: Path, at: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def _twice(d: Desk) -> None:
    first, rest = d.envelope.read_text().split("\n", 1)
    d.envelope.write_text(first.replace('"payload":', '"payload":"e30=","payload":', 1) + "\n" + rest)


def _ecdsa(d: Desk) -> None:
    """Sign with another algorithm and say nothing of it: there is no field to say it in."""
    key = ec.generate_private_key(ec.SECP256R1())

    def change(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            message = pae(IN_TOTO, base64.b64decode(line["payload"]))
            line["signatures"][0]["sig"] = base64.b64encode(key.sign(message, ec.ECDSA(hashes.SHA256()))).decode()

    d.rewrite(change)


def _of_another_run(d: Desk, lines: list[dict[str, Any]], which: int) -> None:
    d.write(d.card.model_copy(update={"run_id": "01JD7XK3QZT0V5M9W2A8C4E6ZZ"}))
    lines[which] = d.lines()[which]


def _mixed(which: int) -> Callable[[Desk], None]:
    def change(d: Desk) -> None:
        lines = d.lines()
        _of_another_run(d, lines, which)
        d.envelope.write_text("".join(json.dumps(line) + "\n" for line in lines))

    return change


def _swapped_signatures(lines: list[dict[str, Any]]) -> None:
    lines[0]["signatures"], lines[1]["signatures"] = lines[1]["signatures"], lines[0]["signatures"]


def _set(*path: str | int, to: object) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = to

    return change


def _tail(field: str, change: Callable[[str], str]) -> Callable[[Desk], None]:
    def on_each(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            place = line if field == "payload" else line["signatures"][0]
            place[field] = change(place[field])

    return lambda d: d.rewrite(on_each)


def _unpadded_alphabet(text: str) -> str:
    return text.replace("+", "-").replace("/", "_")


def _another_last_digit(text: str) -> str:
    """Return base64 that lenient decoders read as the same bytes: the unused bits of the last digit differ."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body = text.rstrip("=")
    return body[:-1] + alphabet[alphabet.index(body[-1]) ^ 1] + text[len(body) :]


def _resigned(d: Desk) -> None:
    d.write(signer=d.other)


def _resigned_under_our_name(d: Desk) -> None:
    d.write(signer=d.other)
    d.rewrite(lambda lines: [_set("signatures", 0, "keyid", to=d.signer.key_id)(line) for line in lines])


def _one_by_another(d: Desk) -> None:
    d.forge(lambda _: None, REFERENCE, d.other)


def _flip_in(at: int, of: str) -> Callable[[Desk], None]:
    return lambda d: _flip(d.folder / of, at)


def _base(d: Desk) -> None:
    _flip(d.base / "model.safetensors", 3)


def _link_out(d: Desk) -> None:
    """The bytes are the same; whoever owns the target may change them later."""
    (d.folder / "sub/extra.txt").rename(d.root / "elsewhere")
    (d.folder / "sub/extra.txt").symlink_to(d.root / "elsewhere")


FOLDER: dict[str, Callable[[Desk], object]] = {
    "first bit of a file": _flip_in(0, "adapter_model.safetensors"),
    "last byte of a file": _flip_in(-1, "adapter_config.json"),
    "a byte added to a file": lambda d: (d.folder / "adapter_config.json").write_bytes(FILES["adapter_config.json"] + b"\n"),
    "a file emptied": lambda d: (d.folder / "sub/extra.txt").write_bytes(b""),
    "a file renamed": lambda d: (d.folder / "sub/extra.txt").rename(d.folder / "sub/other.txt"),
    "a file moved": lambda d: (d.folder / "sub/extra.txt").rename(d.folder / "extra.txt"),
    "a name in another case": lambda d: (d.folder / "sub/extra.txt").rename(d.folder / "sub/Extra.txt"),
    "a file removed": lambda d: (d.folder / "sub/extra.txt").unlink(),
    "a file added": lambda d: (d.folder / "adapter_model.bin").write_bytes(b"x"),
    "an empty file added": lambda d: (d.folder / "__init__.py").write_bytes(b""),
    "a hidden file added": lambda d: (d.folder / ".hidden").write_bytes(b"x"),
    "compiled code added": lambda d: fill(d.folder, {"__pycache__/a.pyc": b"x"}),
    "version control data further down": lambda d: fill(d.folder, {"sub/.git/config": b"x"}),
    "two files exchanged": lambda d: fill(d.folder, dict(zip(FILES, reversed(FILES.values()), strict=True))),
    "a link that leads out": lambda d: (d.folder / "link").symlink_to("/etc/hostname"),
    "a file replaced by a link that leads out": _link_out,
    "a pipe in the folder": lambda d: os.mkfifo(d.folder / "pipe"),
    "a byte of the base": _base,
    "a file added to the base": lambda d: (d.base / "tokenizer.json").write_bytes(b"{}"),
    "a file removed from the base": lambda d: (d.base / "config.json").unlink(),
}  # fmt: skip
OUTSIDE: dict[str, Callable[[Desk], object]] = {
    "a byte of the bill of materials": lambda d: _flip(d.bom, 5),
    "a blank added to the bill of materials": lambda d: d.bom.write_bytes(d.bom.read_bytes() + b"\n"),
    "another bill of materials": lambda d: d.bom.write_bytes(b"{}"),
}
ENVELOPE: dict[str, Callable[[Desk], object]] = {
    "decision forged": lambda d: d.forge(_set("predicate", "modelCurator", "decision", to="approve "), VERDICT),
    "expiry forged": lambda d: d.forge(_set("predicate", "modelCurator", "validUntil", to="2999-01-01T00:00:00Z")),
    "policy forged": lambda d: d.forge(_set("predicate", "policy", "digest", "sha256", to="0" * 64)),
    "a subject removed": lambda d: d.forge(lambda s: s["subject"].pop()),
    "a subject's digest forged": lambda d: d.forge(_set("subject", 0, "digest", "sha256", to="0" * 64)),
    "a subject renamed": lambda d: d.forge(_set("subject", 0, "name", to="adapter/x")),
    "a bill's digest forged": lambda d: d.forge(_set("predicate", "references", 0, "digest", "sha256", to="0" * 64), REFERENCE),
    "re-signed by another key": _resigned,
    "re-signed by another key under our key's id": _resigned_under_our_name,
    "one statement re-signed by another key": _one_by_another,
    "signatures of two statements exchanged": lambda d: d.rewrite(_swapped_signatures),
    "signature of another run": lambda d: d.rewrite(lambda lines: lines[2].update(signatures=lines[0]["signatures"])),
    "another algorithm": _ecdsa,
    "no signature": lambda d: d.rewrite(lambda lines: lines[2].update(signatures=[])),
    "an empty signature": lambda d: d.rewrite(lambda lines: lines[2]["signatures"][0].update(sig="")),
    "a second signature": lambda d: d.rewrite(lambda lines: lines[2]["signatures"].append(dict(lines[2]["signatures"][0]))),
    "an algorithm named": lambda d: d.rewrite(lambda lines: lines[2]["signatures"][0].update(alg="none")),
    "a certificate beside the signature": lambda d: d.rewrite(lambda lines: lines[2]["signatures"][0].update(cert="x")),
    "no key id": lambda d: d.rewrite(lambda lines: lines[2]["signatures"][0].update(keyid="")),
    "key id in capitals": lambda d: d.rewrite(lambda ls: ls[2]["signatures"][0].update(keyid=d.signer.key_id.upper())),
    "another payload type": lambda d: d.rewrite(lambda lines: lines[2].update(payloadType="application/json")),
    "payload type with a parameter": lambda d: d.rewrite(lambda lines: lines[2].update(payloadType=IN_TOTO + "; v=1")),
    "payload cut": lambda d: d.rewrite(lambda lines: lines[2].update(payload=lines[2]["payload"][:-8])),
    "payload empty": lambda d: d.rewrite(lambda lines: lines[2].update(payload="")),
    "payload with a line break": _tail("payload", lambda t: t + "\n"),
    "payload without padding, or with more": _tail("payload", lambda t: t.rstrip("=") if t.endswith("=") else t + "="),
    "signature in the other alphabet": _tail("sig", lambda t: _unpadded_alphabet(t) if set("+/") & set(t) else "-" + t[1:]),
    "signature without padding": _tail("sig", lambda t: t.rstrip("=")),
    "another spelling of the same signature": _tail("sig", _another_last_digit),
    "a key twice": _twice,
    "a field added": lambda d: d.rewrite(lambda lines: lines[2].update(note="x")),
    "a field removed": lambda d: d.rewrite(lambda lines: lines[2].pop("payloadType")),
    "a list for an envelope": lambda d: d.envelope.write_text(json.dumps(d.lines()) + "\n"),
    "a statement left out": lambda d: d.rewrite(lambda lines: lines.pop(0)),
    "the verdict left out": lambda d: d.rewrite(lambda lines: lines.pop()),
    "a statement twice": lambda d: d.rewrite(lambda lines: lines.append(lines[0])),
    "the file cut": lambda d: d.envelope.write_bytes(d.envelope.read_bytes()[:-40]),
    "the file empty": lambda d: d.envelope.write_bytes(b""),
    "a byte order mark": lambda d: d.envelope.write_bytes(b"\xef\xbb\xbf" + d.envelope.read_bytes()),
    "binary noise": lambda d: d.envelope.write_bytes(bytes(range(256))),
    "deep nesting": lambda d: d.envelope.write_bytes(b"[" * 100_000),
}
#: Signed honestly, but not together with these, or not about this.
SIGNED: dict[str, Callable[[Desk], object]] = {
    "test results of another run": _mixed(0),
    "reference of another run": _mixed(1),
    "verdict of another run": _mixed(2),
    "a file fewer": lambda d: d.forge(lambda s: s["subject"].pop(), VERDICT, d.signer),
    "a file twice": lambda d: d.forge(lambda s: s["subject"].append(s["subject"][0]), VERDICT, d.signer),
    "a summary that contradicts": lambda d: d.forge(_set("predicate", "verificationResult", to="FAILED"), VERDICT, d.signer),
    "a statement of another type": lambda d: d.forge(_set("predicateType", to="https://slsa.dev/provenance/v1"), VERDICT, d.signer),
    "another statement version": lambda d: d.forge(_set("_type", to="https://in-toto.io/Statement/v0.1"), VERDICT, d.signer),
    "a field nobody knows": lambda d: d.forge(_set("predicate", "extra", to=1), VERDICT, d.signer),
    "a date that is none": lambda d: d.forge(_set("predicate", "modelCurator", "validUntil", to="never"), VERDICT, d.signer),
    "a date without a zone": lambda d: d.forge(_set("predicate", "timeVerified", to="2026-11-24T12:00:00"), VERDICT, d.signer),
}


@pytest.mark.parametrize("way", FOLDER)
def test_a_changed_folder_is_caught(desk: Desk, way: str) -> None:
    FOLDER[way](desk)
    assert any(p.startswith("file: ") for p in desk.problems())


@pytest.mark.parametrize("way", OUTSIDE)
def test_a_changed_bill_of_materials_is_caught(desk: Desk, way: str) -> None:
    OUTSIDE[way](desk)
    assert [p.split(":")[0] for p in desk.problems()] == ["bom"]


@pytest.mark.parametrize("way", ENVELOPE)
def test_a_changed_envelope_is_caught_before_anything_in_it_is_read(desk: Desk, way: str) -> None:
    ENVELOPE[way](desk)
    assert [p.split(":")[0] for p in desk.problems()] == ["envelope"]


@pytest.mark.parametrize("way", SIGNED)
def test_statements_that_do_not_belong_together_are_caught(desk: Desk, way: str) -> None:
    SIGNED[way](desk)
    assert desk.problems()


def test_the_policy_and_the_dates_and_the_decision_are_caught(desk: Desk) -> None:
    assert [p.split(":")[0] for p in desk.problems(policy="0" * 64)] == ["policy"]
    assert [p.split(":")[0] for p in desk.problems(at=ON + timedelta(days=91))] == ["expired"]
    assert desk.problems(at=ON + timedelta(days=90)) == []
    assert [p.split(":")[0] for p in desk.problems(at=ON - timedelta(days=1))] == ["date"]
    desk.write(scorecard("review"))
    assert [p.split(":")[0] for p in desk.problems()] == ["decision"]
    assert desk.problems(only_approved=False) == []


def test_a_verdict_over_other_files_is_caught(desk: Desk) -> None:
    desk.write(scorecard(files={**FILES, "adapter_config.json": b"{}"}))
    assert any("changed" in p for p in desk.problems())


def test_only_a_trusted_key_counts(desk: Desk) -> None:
    other = read_public(desk.root / "b.key.pub")
    assert [p.split(":")[0] for p in desk.problems(trusted=(other,))] == ["envelope"]
    assert desk.problems(trusted=(other, desk.trusted)) == []
    with pytest.raises(PrerequisiteError):
        desk.problems(trusted=())
    mixed = replace(other, key_id=desk.trusted.key_id)
    assert "does not hold" in desk.problems(trusted=(mixed,))[0]


def test_an_old_verdict_does_not_become_young_by_signing(desk: Desk) -> None:
    with pytest.raises(SignatureError, match="would have expired"):
        attesting.attest(desk.card, desk.signer, {"cyclonedx": Bom()}, valid_for=timedelta(days=30), now=ON + timedelta(days=31))


def test_what_was_not_read_whole_is_not_signed(desk: Desk) -> None:
    composition = desk.card.dossier.composition
    first, *rest = composition.adapter.files
    adapter = composition.adapter.model_copy(update={"files": (first.model_copy(update={"present": False}), *rest)})
    changed = desk.card.dossier.model_copy(update={"composition": composition.model_copy(update={"adapter": adapter})})
    with pytest.raises(CuratorError, match="no digest"):
        desk.write(desk.card.model_copy(update={"dossier": changed}))


def test_the_same_run_signs_to_the_same_bytes(desk: Desk) -> None:
    assert desk.write() == desk.write()
    assert desk.card.verdict.decision is Decision.APPROVE


def _meaning(data: bytes) -> object:
    """Return what a lenient reader makes of the file: blanks between tokens mean nothing."""
    try:
        return [json.loads(line) for line in data.decode().removesuffix("\n").split("\n")]
    except (ValueError, UnicodeDecodeError):
        return None


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return make_desk(tmp_path_factory.mktemp("desk"))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_other_byte_of_the_envelope_is_caught(shared_desk: Desk, data: st.DataObject) -> None:
    envelopes = shared_desk.write()
    at = data.draw(st.integers(0, len(envelopes) - 1))
    changed = bytearray(envelopes)
    changed[at] = data.draw(st.integers(0, 255).filter(lambda b: b != envelopes[at]))
    shared_desk.envelope.write_bytes(bytes(changed))
    assert shared_desk.problems() or _meaning(bytes(changed)) == _meaning(envelopes)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(FILES)), st.data())
def test_any_other_byte_of_a_file_is_caught(shared_desk: Desk, path: str, data: st.DataObject) -> None:
    shared_desk.write()
    original = FILES[path]
    at = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[at] = data.draw(st.integers(0, 255).filter(lambda b: b != original[at]))
    try:
        (shared_desk.folder / path).write_bytes(changed)
        assert shared_desk.problems() == [f"file: adapter: {path!a} is changed"]
    finally:
        (shared_desk.folder / path).write_bytes(original)
