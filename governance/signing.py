"""Signatures: keys in files, and DSSE envelopes. Knows nothing of what is signed.

Called by ``api.attest``. One algorithm, Ed25519, and the key decides it: nothing in an envelope can choose another. What an
envelope says is handed out only after its signature held; until then nothing of it is believed, shown or parsed but the envelope
itself.

Source:
    Dead Simple Signing Envelope 1.0, "protocol" and "envelope"; RFC 8032 (Ed25519); RFC 5958, RFC 5280 (key files).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from governance.canonical import canonical_json, pae, strict_json
from governance.errors import PrerequisiteError, SignatureError

#: What the payload of every envelope here is.
IN_TOTO = "application/vnd.in-toto+json"
_KEY_BYTES = 1 << 16


class Signer(Protocol):
    """Puts payloads into signed envelopes: a local key, or an identity (``governance.keyless``)."""

    @property
    def key_id(self) -> str:
        """Who signs: SHA-256 of the public key as DER, in hexadecimal digits; or an identity."""

    def seal(self, payload: bytes) -> bytes:
        """Return a payload in a signed envelope, as one line of JSON."""


@dataclass(frozen=True)
class TrustedKey:
    """A public key somebody decided to trust."""

    key: Ed25519PublicKey
    key_id: str

    def holds(self, signature: bytes, message: bytes) -> bool:
        """Return whether the signature is this key's, over these bytes."""
        try:
            self.key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class LocalSigner:
    """A private key in this process.

    Args:
        key: From ``read_private``.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.key_id = key_id(key.public_key())

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self._key.sign(message)

    def seal(self, payload: bytes) -> bytes:
        """Return a payload in a signed envelope, as one line of JSON."""
        return seal(payload, self)


def key_id(key: Ed25519PublicKey) -> str:
    """Return the SHA-256 of the key's SubjectPublicKeyInfo (DER)."""
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


def seal(payload: bytes, signer: LocalSigner, payload_type: str = IN_TOTO) -> bytes:
    """Return a payload in an envelope of one signature, as one line of JSON.

    Args:
        payload: What is signed.
        signer: Who signs.
        payload_type: Bound into the signature.
    """
    signed = base64.b64encode(signer.sign(pae(payload_type, payload))).decode("ascii")
    return canonical_json(
        {
            "payload": base64.b64encode(payload).decode("ascii"),
            "payloadType": payload_type,
            "signatures": [{"keyid": signer.key_id, "sig": signed}],
        }
    )


def opened(envelope: bytes, trusted: Sequence[TrustedKey], payload_type: str = IN_TOTO) -> tuple[bytes, str]:
    """Return the payload of an envelope whose signature holds, and the id of the key that made it.

    Args:
        envelope: JSON of one envelope.
        trusted: Keys that are believed; at least one.
        payload_type: The only type that is accepted.

    Raises:
        SignatureError: It is no such envelope, or its signature does not hold; nothing of its payload is told.
    """
    document = strict_json(envelope)
    if not isinstance(document, dict) or set(document) != {"payload", "payloadType", "signatures"}:
        raise SignatureError("this is no DSSE envelope: it must have payload, payloadType and signatures, and nothing else")
    if document["payloadType"] != payload_type:
        raise SignatureError(f"the envelope is of another type: {document['payloadType']!a:.80}, not {payload_type}")
    signatures = document["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise SignatureError("the envelope must have exactly one signature")
    if not isinstance(signatures[0], dict) or set(signatures[0]) != {"keyid", "sig"}:
        raise SignatureError("a signature must have keyid and sig, and nothing else")
    said = signatures[0]["keyid"]
    key = next((k for k in trusted if k.key_id == said), None)
    if key is None:
        raise SignatureError(f"signed by the key {said!a:.80}, which is not trusted here; trusted: {_ids(trusted)}")
    payload, signature = (_bytes(value, what) for value, what in ((document["payload"], "payload"), (signatures[0]["sig"], "sig")))
    if not key.holds(signature, pae(payload_type, payload)):
        raise SignatureError(f"the signature does not hold: payload, type or signature was changed, or {said} did not make it")
    return payload, key.key_id


def _ids(trusted: Sequence[TrustedKey]) -> str:
    return ", ".join(k.key_id for k in trusted) or "none"


def _bytes(value: object, what: str) -> bytes:
    """Decode base64 in its one canonical spelling."""
    try:
        data = base64.b64decode(value.encode("ascii"), validate=True) if isinstance(value, str) else None
    except (binascii.Error, UnicodeEncodeError):
        data = None
    if data is None or base64.b64encode(data).decode("ascii") != value:
        raise SignatureError(f"{what} is not canonical base64")
    return data


def make_key(path: Path, passphrase: str | None = None) -> tuple[Path, str]:
    """Make a key pair: the private key for its owner only, the public key beside it.

    Args:
        path: Of the private key; the public key gets ``.pub`` after it. Neither is ever overwritten.
        passphrase: Encrypts the private key; None: its file is all that is needed to sign.

    Returns:
        The public key's path and the key's id.

    Raises:
        SignatureError: One of the files exists, or cannot be written.
    """
    key, public = Ed25519PrivateKey.generate(), path.with_name(path.name + ".pub")
    lock = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    shared = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in (path, public):
            if file.exists() or file.is_symlink():
                raise FileExistsError(17, "exists already and is not overwritten", str(file))
        for file, data, mode in ((path, private, 0o600), (public, shared, 0o644)):
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as out:
                out.write(data)
    except OSError as error:
        raise SignatureError(f"{error.filename or path}: {error.strerror}", hint="give another file with --output") from error
    return public, key_id(key.public_key())


def read_private(path: Path, passphrase: str | None = None) -> LocalSigner:
    """Return the signer of a private key file.

    Raises:
        PrerequisiteError: There is no key, or others may read it.
        SignatureError: It is not an Ed25519 key, or the passphrase does not open it.
    """
    data, mode = _key_file(path, "curator attest keygen makes one")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise PrerequisiteError(f"{path} may be read by others than its owner", hint=f"chmod 600 {path}; better, make a new key")
    try:
        key = serialization.load_pem_private_key(data, passphrase.encode() if passphrase else None)
    except TypeError as error:
        words = "the key has no passphrase, and one was given" if passphrase else "the key is locked with a passphrase"
        raise SignatureError(f"{path}: {words}", hint="CURATOR_SIGNING_PASSPHRASE holds it") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path}: no private key in PEM, or another passphrase", hint="curator attest keygen") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(f"{path}: not an Ed25519 key", hint="curator attest keygen makes one")
    return LocalSigner(key)


def read_public(path: Path) -> TrustedKey:
    """Return the public key of a file.

    Raises:
        PrerequisiteError: The file cannot be read.
        SignatureError: It holds no Ed25519 public key.
    """
    data, _ = _key_file(path, "give the signer's public key, as curator attest keygen wrote it (.pub)")
    if b"PRIVATE KEY" in data:
        raise SignatureError(f"{path} holds a private key", hint="verify with the public key; keep the private one to yourself")
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path}: no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureError(f"{path}: not an Ed25519 key, the only kind that is accepted")
    return TrustedKey(key, key_id(key))


def _key_file(path: Path, hint: str) -> tuple[bytes, int]:
    try:
        with path.open("rb") as stream:
            return stream.read(_KEY_BYTES), os.fstat(stream.fileno()).st_mode
    except OSError as error:
        raise PrerequisiteError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
