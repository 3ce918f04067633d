"""A publisher's signature: keys that are trusted, keys that are not, and what the reference implementation writes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.context import RunContext
from governance.evidence import Finding
from scanners._formats.model_signatures import read_bundle
from scanners.model_signature import PLUGIN
from tests.builders_adapters import composition
from tests.builders_signatures import Sign, bundle, manifest

FILES = {"a.txt": b"one", "b.txt": b"two"}


def found(files: dict[str, object], ctx: RunContext, *trusted: str) -> dict[str, Finding]:
    said = PLUGIN.scan(composition(files, None, ctx), replace(ctx, trusted_publishers=trusted))
    return {s.rule: s for s in said if isinstance(s, Finding)}


def keys(curve: str = "SECP256R1") -> tuple[Sign, str, str]:
    """Return a way to sign, the public key in PEM and what a bundle calls it."""
    pytest.importorskip("cryptography", reason="keys need it")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(getattr(ec, curve)())
    digest = {"SECP256R1": hashes.SHA256(), "SECP384R1": hashes.SHA384(), "SECP521R1": hashes.SHA512()}[curve]
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return (lambda message: key.sign(message, ec.ECDSA(digest))), pem.decode(), hashlib.sha256(pem).hexdigest()


@pytest.mark.parametrize("curve", ["SECP256R1", "SECP384R1", "SECP521R1"])
def test_a_trusted_key_is_told(ctx: RunContext, curve: str) -> None:
    sign, pem, hint = keys(curve)
    made = bundle(manifest(FILES), sign=sign, material={"publicKey": {"hint": hint}})
    assert set(found({**FILES, "model.sig": made}, ctx, keys()[1], pem)) == {"signature-verified"}
    assert set(found({**FILES, "a.txt": b"ONE", "model.sig": made}, ctx, pem)) == {"signature-verified", "signature-mismatch"}


def test_a_key_that_is_not_trusted_vouches_for_nothing(ctx: RunContext) -> None:
    sign, _, hint = keys()
    made = bundle(manifest(FILES), sign=sign, material={"publicKey": {"hint": hint}})
    said = found({**FILES, "model.sig": made}, ctx, keys()[1])
    assert {r: f.severity.value for r, f in said.items()} == {"signature-unverified": "low"}
    assert {r: f.severity.value for r, f in found({**FILES, "model.sig": made}, ctx).items()} == {"signature-unverified": "info"}
    assert "cannot be used" in found({**FILES, "model.sig": made}, ctx, "noise")["signature-unverified"].message


def test_a_signature_in_a_trusted_keys_name_that_it_did_not_make(ctx: RunContext) -> None:
    _, pem, hint = keys()
    sign, _, _ = keys()
    for signer in (sign, lambda _: b"", lambda _: b"\x00" * 64):
        made = bundle(manifest(FILES), sign=signer, material={"publicKey": {"hint": hint}})
        assert "forged" in found({**FILES, "model.sig": made}, ctx, pem)["signature-mismatch"].message


def test_what_the_reference_implementation_signs(tmp_path: Path, ctx: RunContext) -> None:
    signing = pytest.importorskip("model_signing.signing", reason="the reference implementation")
    hashing = pytest.importorskip("model_signing.hashing")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key").write_bytes(private)
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    (tmp_path / "model" / "sub").mkdir(parents=True)
    files: dict[str, object] = {"a.txt": b"one", "sub/z": b"two", "sub.txt": b"three"}
    for path, data in files.items():
        (tmp_path / "model" / path).write_bytes(data if isinstance(data, bytes) else b"")
    for config in (hashing.Config(), hashing.Config().use_shard_serialization(shard_size=2)):
        signing.Config().use_elliptic_key_signer(private_key=tmp_path / "key").set_hashing_config(config).sign(
            tmp_path / "model", tmp_path / "model.sig"
        )
        made = (tmp_path / "model.sig").read_bytes()
        assert set(found({**files, "model.sig": made}, ctx, pem)) == {"signature-verified"}
        assert set(found({**files, "sub/z": b"twO", "model.sig": made}, ctx, pem)) == {"signature-verified", "signature-mismatch"}
        assert set(found({**files, "new": b"", "model.sig": made}, ctx, pem)) == {"signature-verified", "signature-covers-less"}


@given(st.integers(0, 2000), st.binary(max_size=8))
def test_a_broken_bundle_is_told_and_never_raises(at: int, noise: bytes) -> None:
    made = bundle(manifest(FILES))
    read_bundle(made[:at] + noise + made[at + len(noise) :])
    read_bundle(noise)
