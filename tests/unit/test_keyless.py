"""Signing as an identity: a clear error without the extra or the network, and the same statements with them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="keys need it")

from typer.testing import CliRunner

from api.cli.main import app
from governance.errors import PrerequisiteError, SignatureError
from governance.keyless import Identity, KeylessSigner
from governance.signing import IN_TOTO


class RefusedError(Exception):
    """Stands for every error of the library."""


def fake(monkeypatch: pytest.MonkeyPatch, *, reachable: bool = True) -> None:
    """Put modules in place of the library's, as far as it is used."""

    class Signer:
        def sign_dsse(self, statement: bytes) -> Any:
            if not reachable:
                raise RefusedError("no route to host")
            return SimpleNamespace(to_json=lambda: json.dumps({"dsseEnvelope": statement.decode()}))

    @contextmanager
    def signer(_: object) -> Iterator[Signer]:
        yield Signer()

    def verify_dsse(bundle: str, wanted: tuple[str, str]) -> tuple[str, bytes]:
        if wanted != ("me@example.org", "https://issuer.example.org"):
            raise RefusedError("another identity")
        return IN_TOTO, json.loads(bundle)["dsseEnvelope"].encode()

    context = SimpleNamespace(signer=signer)
    parts: dict[str, dict[str, object]] = {
        "sign": {"SigningContext": SimpleNamespace(from_trust_config=lambda _: context)},
        "dsse": {"Statement": lambda payload: payload},
        "models": {
            "ClientTrustConfig": SimpleNamespace(production=lambda: None),
            "Bundle": SimpleNamespace(from_json=lambda text: text),
        },
        "errors": {"Error": RefusedError},
        "oidc": {
            "IdentityError": RefusedError,
            "IdentityToken": lambda token: SimpleNamespace(identity=token),
            "detect_credential": lambda: None,
        },
        "verify": {
            "Verifier": SimpleNamespace(production=lambda offline: SimpleNamespace(verify_dsse=verify_dsse)),
            "policy": SimpleNamespace(Identity=lambda identity, issuer: (identity, issuer)),
        },
    }
    monkeypatch.setitem(sys.modules, "sigstore", ModuleType("sigstore"))
    for name, members in parts.items():
        module = ModuleType(f"sigstore.{name}")
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, f"sigstore.{name}", module)


def test_offline_and_without_the_extra_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PrerequisiteError, match="offline") as offline:
        KeylessSigner("token", offline=True)
    assert "keygen" in offline.value.hint
    monkeypatch.setitem(sys.modules, "sigstore", None)
    for make in (lambda: KeylessSigner("token", offline=False), lambda: Identity("a", "b", offline=True)):
        with pytest.raises(PrerequisiteError, match="not installed") as missing:
            make()
        assert "model-curator[sigstore]" in missing.value.hint


def test_an_identity_signs_and_another_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch)
    signer = KeylessSigner("me@example.org", offline=False)
    line = signer.seal(b'{"a":1}')
    assert b"\n" not in line
    assert Identity("me@example.org", "https://issuer.example.org", offline=True).opened(line)[0] == b'{"a":1}'
    with pytest.raises(SignatureError, match="does not hold"):
        Identity("me@example.org", "https://other.example.org", offline=True).opened(line)
    with pytest.raises(SignatureError):
        Identity("me@example.org", "https://issuer.example.org", offline=True).opened(b'{"a":1,"a":2}')
    with pytest.raises(PrerequisiteError, match="no identity"):
        KeylessSigner(None, offline=False)


def test_services_that_cannot_be_reached_are_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, reachable=False)
    with pytest.raises(PrerequisiteError, match="no route to host") as failed:
        KeylessSigner("me", offline=False).seal(b"{}")
    assert "keygen" in failed.value.hint


def test_the_command_wants_both_halves_of_an_identity() -> None:
    for more in (["--identity", "a"], ["--issuer", "b"], ["--identity", "a", "--issuer", "b", "--key", "c"]):
        assert CliRunner().invoke(app, ["verify", "x", "y", *more]).exit_code == 2


def test_the_library_takes_our_statements() -> None:
    dsse = pytest.importorskip("sigstore.dsse", reason="the extra sigstore")
    from reports.attestation import VALID_FOR, payloads
    from tests.scorecards import SCORECARDS

    card = SCORECARDS["approve"]
    for payload in payloads(card, {}, card.verdict.on + VALID_FOR):
        dsse.Statement(payload)
