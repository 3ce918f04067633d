"""Keys, envelopes and the commands around them; other implementations of DSSE and in-toto agree, where they are installed."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="keys need it")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from api import attest as attesting
from api.cli.main import app
from api.settings import Settings
from governance.canonical import canonical_json, pae, strict_json
from governance.errors import CuratorError, PrerequisiteError, SignatureError
from governance.signing import IN_TOTO, make_key, opened, read_private, read_public, seal
from reports.attestation import PLUGIN
from tests.conftest import ON
from tests.scorecards import SCORECARDS
from tests.signed_desk import make_desk


def test_the_encoding_is_that_of_the_specification() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_keys_are_their_owners_and_never_overwritten(tmp_path: Path) -> None:
    public, key_id = make_key(tmp_path / "new" / "a.key")
    assert stat.S_IMODE((tmp_path / "new" / "a.key").stat().st_mode) == 0o600
    assert read_public(public).key_id == read_private(tmp_path / "new" / "a.key").key_id == key_id
    before = (tmp_path / "new" / "a.key").read_bytes()
    with pytest.raises(SignatureError, match="not overwritten"):
        make_key(tmp_path / "new" / "a.key")
    assert (tmp_path / "new" / "a.key").read_bytes() == before
    (tmp_path / "b.key.pub").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SignatureError, match="not overwritten"):
        make_key(tmp_path / "b.key")
    assert not (tmp_path / "b.key").exists()


def test_a_key_others_may_read_is_refused(tmp_path: Path) -> None:
    make_key(tmp_path / "a.key")
    os.chmod(tmp_path / "a.key", 0o640)
    with pytest.raises(PrerequisiteError, match="others"):
        read_private(tmp_path / "a.key")
    with pytest.raises(PrerequisiteError):
        read_private(tmp_path / "none.key")


def test_a_passphrase_is_needed_where_one_was_set(tmp_path: Path) -> None:
    make_key(tmp_path / "a.key", "correct horse")
    assert b"ENCRYPTED" in (tmp_path / "a.key").read_bytes()
    assert read_private(tmp_path / "a.key", "correct horse")
    for wrong in (None, "battery"):
        with pytest.raises(SignatureError):
            read_private(tmp_path / "a.key", wrong)
    make_key(tmp_path / "b.key")
    with pytest.raises(SignatureError):
        read_private(tmp_path / "b.key", "not needed")


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "ec.key").write_bytes(pem)
    os.chmod(tmp_path / "ec.key", 0o600)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "ec.pub").write_bytes(public)
    (tmp_path / "noise").write_bytes(b"noise")
    make_key(tmp_path / "a.key")
    for path in ("ec.pub", "noise", "a.key"):
        with pytest.raises(SignatureError):
            read_public(tmp_path / path)
    for path in ("ec.key", "a.key.pub"):
        os.chmod(tmp_path / path, 0o600)
        with pytest.raises(CuratorError):
            read_private(tmp_path / path)


@pytest.mark.parametrize(
    "text",
    [b'{"a":1,"a":1}', b'{"a":{"b":1,"b":2}}', b"NaN", b"[Infinity]", b"\xff", b"\xef\xbb\xbf{}", b"{", b"", b"[" * 99 + b"]" * 99],
)
def test_json_with_two_readings_is_refused(text: bytes) -> None:
    with pytest.raises(SignatureError):
        strict_json(text)


def test_canonical_json_reads_back() -> None:
    value = {"b": [1, None, True], "a": "é\u2028"}
    assert canonical_json(value) == '{"a":"é\u2028","b":[1,null,true]}'.encode()
    assert strict_json(canonical_json(value)) == value


def test_an_unsigned_statement_says_what_the_scorecard_says() -> None:
    for name, result in (("approve", "PASSED"), ("review", "WARNED"), ("reject-pickle", "FAILED")):
        made = json.loads(PLUGIN.render(SCORECARDS[name]))
        tests, _, verdict = made["statements"]
        assert tests["predicate"]["result"] == result
        assert (verdict["predicate"]["verificationResult"] == "PASSED") is (name == "approve")
        assert {s["name"].split("/")[0] for s in verdict["subject"]} == {"adapter", "base"}
        assert all(len(s["digest"]["sha512"]) == 128 for s in verdict["subject"])
    unknown = json.loads(PLUGIN.render(SCORECARDS["review"]))["statements"][0]["predicate"]
    assert "licenses-agree" in unknown["warnedTests"], "what is not known never passed"
    assert json.loads(PLUGIN.render(SCORECARDS["hostile"]))["reason"]


def test_the_commands_sign_and_verify(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    run = CliRunner().invoke
    env = {"CURATOR_HOME": str(tmp_path / "home"), "CURATOR_TRUSTED_KEYS": None}
    common = ["verify", str(desk.envelope), str(desk.folder), "--at", "2026-11-25"]
    key = ["--key", str(tmp_path / "a.key.pub")]
    done = run(app, [*common, *key, "--format", "json"], env=env)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["holds"]
    assert said["key_id"] == desk.signer.key_id
    assert len(said["not_checked"]) == 3
    assert run(app, common, env=env).exit_code == 1, "no key: it could not be checked"
    assert run(app, [*common, "--key", str(tmp_path / "none.pub")], env=env).exit_code == 1
    assert run(app, [*common, *key, "--at", "2030-01-01"], env=env).exit_code == 11
    assert run(app, ["verify", str(desk.envelope)], env=env).exit_code == 2
    assert run(app, [*common, *key, "--at", "someday"], env=env).exit_code == 2
    (tmp_path / "trusted").mkdir()
    (tmp_path / "a.key.pub").rename(tmp_path / "trusted" / "a.pub")
    assert run(app, common, env={**env, "CURATOR_TRUSTED_KEYS": str(tmp_path / "trusted")}).exit_code == 0
    (desk.folder / "new.bin").write_bytes(b"")
    done = run(app, common, env={**env, "CURATOR_TRUSTED_KEYS": str(tmp_path / "trusted")})
    assert done.exit_code == 11
    assert "'new.bin' is not audited" in done.output
    assert run(app, ["attest", "keygen", "-o", str(tmp_path / "c.key")], env=env).exit_code == 0
    assert run(app, ["attest", "keygen", "-o", str(tmp_path / "c.key")], env=env).exit_code == 1
    assert run(app, ["attest", "no-such-run", "--key", str(tmp_path / "c.key")], env=env).exit_code == 1
    assert run(app, ["attest", "no-such-run", "--valid-for", "soon"], env=env).exit_code == 2


def test_securesystemslib_agrees(tmp_path: Path) -> None:
    dsse = pytest.importorskip("securesystemslib.dsse", reason="another implementation of DSSE")
    signer = pytest.importorskip("securesystemslib.signer")
    make_key(tmp_path / "a.key")
    ours = read_private(tmp_path / "a.key")
    key = signer.SSlibKey.from_crypto(read_public(tmp_path / "a.key.pub").key, keyid=ours.key_id)
    line = json.loads(seal(b'{"a":1}', ours))
    line["signatures"][0]["sig"] = line["signatures"][0]["sig"]
    theirs = dsse.Envelope.from_dict(line)
    assert theirs.pae() == pae(IN_TOTO, b'{"a":1}')
    assert theirs.verify([key], 1)
    made = dsse.Envelope(b'{"b":2}', IN_TOTO, {})
    made.sign(signer.CryptoSigner(serialization.load_pem_private_key((tmp_path / "a.key").read_bytes(), None), key))
    envelope = json.dumps(made.to_dict()).encode()
    assert opened(envelope, [read_public(tmp_path / "a.key.pub")])[0] == b'{"b":2}'


def test_in_toto_reads_our_statements(tmp_path: Path) -> None:
    statement = pytest.importorskip("in_toto_attestation.v1.statement", reason="the reference implementation of statements")
    json_format = pytest.importorskip("google.protobuf.json_format")
    pb = pytest.importorskip("in_toto_attestation.v1.statement_pb2")
    for line in make_desk(tmp_path).lines():
        parsed = json_format.Parse(base64.b64decode(line["payload"]), pb.Statement())
        statement.Statement.copy_from_pb(parsed).validate()


def test_files_of_the_base_that_were_never_read_are_told(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    composition = desk.card.dossier.composition
    assert composition.base is not None
    files = tuple(f.model_copy(update={"present": False}) for f in composition.base.files)
    base = composition.base.model_copy(update={"files": files})
    dossier = desk.card.dossier.model_copy(update={"composition": composition.model_copy(update={"base": base})})
    desk.write(desk.card.model_copy(update={"dossier": dossier}))
    done = attesting.verify(desk.envelope, desk.folder, (desk.trusted,), settings=Settings(home=tmp_path / "home"), at=ON)
    assert done.problems == ()
    assert any("never read" in what for what in done.not_checked)
