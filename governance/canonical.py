"""Bytes that have one reading: strict JSON in, canonical JSON out, and the encoding a signature is put under.

Read by ``governance.signing``, ``governance.statements`` and the scanner of publishers' signatures.

Source:
    RFC 8259; Dead Simple Signing Envelope 1.0, "protocol".
"""

from __future__ import annotations

import json

from governance.errors import SignatureError

#: Most bytes of an envelope, and the deepest nesting of its JSON.
MOST_BYTES, _DEPTH = 64 << 20, 32


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding: the bytes that are signed, which bind the type to the payload."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def strict_json(data: bytes) -> object:
    """Parse JSON that has one reading: UTF-8 without a mark, no key twice, no NaN, bounded in size and depth.

    Raises:
        SignatureError: It is not that; the message says what is wrong.
    """
    if len(data) > MOST_BYTES:
        raise SignatureError(f"the document has {len(data)} bytes; at most {MOST_BYTES} are read")
    try:
        value: object = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refused)
        deep = _is_deep(value)
    except UnicodeDecodeError as error:
        raise SignatureError(f"the document is not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise SignatureError("the document is nested too deeply") from error
    except ValueError as error:
        raise SignatureError(f"the document is not JSON: {error}"[:200]) from error
    if deep:
        raise SignatureError(f"the document is nested deeper than {_DEPTH}")
    return value


def canonical_json(value: object) -> bytes:
    """Return a value as JSON with sorted keys and no blanks, in UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key occurs more than once")
    return made


def _refused(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(_DEPTH):
        level = [
            c for v in level for c in (v.values() if isinstance(v, dict) else v if isinstance(v, list) else ())
            if isinstance(c, dict | list)
        ]  # fmt: skip
    return bool(level)
