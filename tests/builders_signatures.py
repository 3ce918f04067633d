"""Model signatures as publishers write them: a Sigstore bundle around a DSSE envelope around a manifest of files."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping

IN_TOTO = "application/vnd.in-toto+json"
Sign = Callable[[bytes], bytes]


def manifest(files: Mapping[str, bytes], *, shard: int = 0, **changes: object) -> dict[str, object]:
    """Return the statement over some files.

    Args:
        files: Content by path.
        shard: Bytes of each part; 0: whole files.
        changes: Members of the statement to replace; ``root`` replaces the digest over all.
    """
    resources = []
    for path, data in sorted(files.items()):
        parts = [(0, len(data))] if not shard else [(at, min(at + shard, len(data))) for at in range(0, len(data), shard)]
        for start, end in parts:
            name = f"{path}:{start}:{end}" if shard else path
            digest = hashlib.sha256(data[start:end]).hexdigest()
            resources.append({"name": name, "algorithm": f"sha256-sharded-{shard}" if shard else "sha256", "digest": digest})
    root = hashlib.sha256(b"".join(bytes.fromhex(r["digest"]) for r in resources)).hexdigest()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": changes.pop("root", root)}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {"serialization": {"method": "shards" if shard else "files", "hash_type": "sha256"}, "resources": resources},
        **changes,
    }


def bundle(statement: Mapping[str, object], *, sign: Sign = lambda _: b"no signature", material: object = None) -> bytes:
    """Return a bundle.

    Args:
        statement: What is signed.
        sign: Makes the signature of the pre-authentication encoding.
        material: What the bundle offers to verify it with.
    """
    payload = json.dumps(statement).encode()
    message = b"DSSEv1 %d %b %d %b" % (len(IN_TOTO), IN_TOTO.encode(), len(payload), payload)
    return json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": material or {"publicKey": {"hint": "00" * 32}},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": IN_TOTO,
                "signatures": [{"sig": base64.b64encode(sign(message)).decode()}],
            },
        }
    ).encode()


def cooked(value: Mapping[str, object], cook: Callable[[object], bytes]) -> bytes:
    """Return a bundle over ``files``; ``shard``, ``certificate``, ``signature`` and members of the statement may be given too."""
    said = dict(value)
    files = said.pop("files")
    assert isinstance(files, dict)
    signature = bytes.fromhex(str(said.pop("signature", "")))
    shard, certificate = int(str(said.pop("shard", 0))), said.pop("certificate", False)
    made = manifest({path: cook(recipe) for path, recipe in files.items()}, shard=shard, **said)
    return bundle(
        made, sign=lambda _: signature or b"none", material={"certificate": {"rawBytes": "AAAA"}} if certificate else None
    )
