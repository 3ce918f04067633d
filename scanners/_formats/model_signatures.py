"""A publisher's model signature: the bundle, the manifest it carries, and whether a trusted key made it. Bytes in, values out.

Read by ``scanners.model_signature``. Everything in a bundle is a claim of whoever wrote it; only ``made_by`` says who that was.

Source:
    OpenSSF Model Signing 1.0, predicate ``https://model_signing/signature/v1.0``; Sigstore bundle 0.3; DSSE 1.0.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from governance.canonical import pae
from scanners._formats.documents import parse_json

IN_TOTO = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE, _OLD_PREDICATE = "https://model_signing/signature/v1.0", "https://model_signing/Digests/v0.1"
#: What a bundle has among its first bytes, however it is named.
MARKS = (b'"dsseEnvelope"', b"application/vnd.dev.sigstore.bundle")
_SHARD = re.compile(r"(.{1,1024}):([0-9]{1,15}):([0-9]{1,15})\Z", re.DOTALL)
_ALGORITHM = re.compile(r"(sha256|blake2b)(?:-sharded-[0-9]{1,15})?\Z")
_HEX = re.compile(r"(?:[0-9a-f]{64}|[0-9a-f]{128})\Z")
_MOST_RESOURCES = 100_000

Held = Literal["key", "certificate", "none"]


@dataclass(frozen=True)
class Resource:
    """One file, or part of one, that was signed.

    Attributes:
        path: Relative to the signed folder.
        algorithm: ``sha256`` or ``blake2b``; empty for one that is not computed here.
        digest: Hexadecimal digits.
        span: (start, end) of the part; None for the whole file.
    """

    path: str
    algorithm: str
    digest: str
    span: tuple[int, int] | None = None


@dataclass(frozen=True)
class SignedModel:
    """What a bundle says.

    Attributes:
        problem: Why it cannot be read; empty if it can.
        resources: The manifest.
        is_consistent: Whether the manifest's digest over all is that of its subject.
        held: What it offers to verify the signature with.
        hint: Which key, in its own words.
        message: The bytes that were signed.
        signature: Over them.
    """

    problem: str = ""
    resources: tuple[Resource, ...] = ()
    is_consistent: bool = True
    held: Held = "none"
    hint: str = ""
    message: bytes = b""
    signature: bytes = b""


class _Malformed(Exception):  # noqa: N818 - leaves this module as a value
    """Why a bundle cannot be read."""


def read_bundle(data: bytes) -> SignedModel:
    """Return what a bundle says; what is wrong with it is told, not raised."""
    try:
        return _read(data)
    except _Malformed as error:
        return SignedModel(problem=str(error))


def _read(data: bytes) -> SignedModel:
    document = _json(data, "the bundle")
    envelope = _mapping(document.get("dsseEnvelope"), "dsseEnvelope")
    if envelope.get("payloadType") != IN_TOTO:
        raise _Malformed("its payload is no in-toto statement")
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise _Malformed("it must have exactly one signature")
    payload = _base64(envelope.get("payload"), "payload")
    signature = _base64(_mapping(signatures[0], "signature").get("sig"), "sig")
    statement = _json(payload, "the statement")
    if statement.get("_type") != _STATEMENT:
        raise _Malformed("its payload is no in-toto statement of version 1")
    subjects = statement.get("subject")
    if not isinstance(subjects, list) or not subjects:
        raise _Malformed("its statement has no subject")
    resources, consistent = _manifest(statement, subjects)
    paths = [(r.path, r.span) for r in resources]
    if len(set(paths)) < len(paths):
        raise _Malformed("its manifest names a file twice")
    held, hint = _material(document.get("verificationMaterial"))
    return SignedModel("", resources, consistent, held, hint, pae(IN_TOTO, payload), signature)


def _manifest(statement: Mapping[str, object], subjects: Sequence[object]) -> tuple[tuple[Resource, ...], bool]:
    """Return the resources, and whether they are those the subject's digest speaks of."""
    match statement.get("predicateType"):
        case "https://model_signing/Digests/v0.1":
            pairs = [(_mapping(s, "subject"), _mapping(_mapping(s, "subject").get("digest"), "digest")) for s in subjects]
            return tuple(
                _resource({"name": s.get("name"), "algorithm": "sha256", "digest": d.get("sha256")}) for s, d in pairs
            ), True
        case "https://model_signing/signature/v1.0":
            listed = _mapping(statement.get("predicate"), "predicate").get("resources")
            if not isinstance(listed, list) or not listed or len(listed) > _MOST_RESOURCES:
                raise _Malformed(f"its manifest lists no file, or more than {_MOST_RESOURCES}")
            resources = tuple(_resource(_mapping(r, "resource")) for r in listed)
            claimed = _mapping(_mapping(subjects[0], "subject").get("digest"), "digest").get("sha256")
            root = hashlib.sha256(b"".join(bytes.fromhex(r.digest) for r in resources)).hexdigest()
            return resources, len(subjects) == 1 and claimed == root
    raise _Malformed("its statement is of a type that is not known as a model signature")


def _resource(said: Mapping[str, object]) -> Resource:
    name, algorithm, digest = said.get("name"), said.get("algorithm"), said.get("digest")
    if not (isinstance(name, str) and isinstance(algorithm, str) and isinstance(digest, str) and _HEX.match(digest)):
        raise _Malformed("an entry of its manifest has no name, algorithm and digest")
    known = _ALGORITHM.match(algorithm)
    span = None
    if "-sharded-" in algorithm:
        part = _SHARD.match(name)
        if part is None:
            raise _Malformed("an entry of its manifest is no part of a file")
        name, span = part.group(1), (int(part.group(2)), int(part.group(3)))
        if span[0] > span[1]:
            raise _Malformed("a part of a file ends before it begins")
    if name.startswith("/") or "\\" in name or not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise _Malformed("an entry of its manifest leads out of the folder")
    return Resource(name, known.group(1) if known else "", digest, span)


def _material(value: object) -> tuple[Held, str]:
    said = value if isinstance(value, dict) else {}
    key = said.get("publicKey")
    if isinstance(key, dict):
        hint = key.get("hint")
        return "key", hint if isinstance(hint, str) else ""
    return ("certificate" if "certificate" in said or "x509CertificateChain" in said else "none"), ""


def _json(data: bytes, what: str) -> Mapping[str, object]:
    document = parse_json(data)
    if document.problems or not document.mapping:
        raise _Malformed(f"{what} cannot be read: {document.problems[0][:120] if document.problems else 'it is no object'}")
    return document.mapping


def _mapping(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _Malformed(f"{what} is missing or no object")
    return value


def _base64(value: object, what: str) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _Malformed(f"{what} is no base64") from error


@dataclass(frozen=True)
class MadeBy:
    """Which trusted key made a signature.

    Attributes:
        key: Its SHA-256 (DER), or empty if none did.
        is_forged: The bundle names a trusted key, which did not make it.
        unusable: Trusted keys that are not of a usable kind.
    """

    key: str = ""
    is_forged: bool = False
    unusable: int = 0


def made_by(signed: SignedModel, trusted: Iterable[str]) -> MadeBy:
    """Return which trusted key made the signature. The key decides the algorithm, never the bundle.

    Args:
        signed: From ``read_bundle``.
        trusted: Public keys in PEM: NIST curves P-256, P-384 and P-521, or Ed25519.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    forged, unusable = False, 0
    for pem in trusted:
        try:
            key = serialization.load_pem_public_key(pem.encode())
            match key:
                case ec.EllipticCurvePublicKey() if key.curve.name in ("secp256r1", "secp384r1", "secp521r1"):
                    digest = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}
                    key.verify(signed.signature, signed.message, ec.ECDSA(digest[key.curve.name]))
                case ed25519.Ed25519PublicKey():
                    key.verify(signed.signature, signed.message)
                case _:
                    unusable += 1
                    continue
        except InvalidSignature:
            forged = forged or (bool(signed.hint) and signed.hint in _names(key))
        except (ValueError, UnsupportedAlgorithm):
            unusable += 1
        else:
            encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            return MadeBy(hashlib.sha256(encoded).hexdigest())
    return MadeBy("", forged, unusable)


def _names(key: object) -> Iterator[str]:
    """Yield what a bundle calls a key: the SHA-256 of its PEM or DER."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
            yield hashlib.sha256(key.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()
