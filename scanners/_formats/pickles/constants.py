"""Constants of a pickle that may be files of their own: bytes as they stand, and text that is base64 of such bytes.

Read by ``pickles.stack``, which keeps them, and ``pickles.review``, which looks at what they would do.
"""

from __future__ import annotations

import base64
import binascii
import re

#: Constants shorter than this hold no pickle that acts.
SHORTEST = 12
_SHORTEST_TEXT = 24
#: Most characters decoded; more is no constant one hides by hand, and is cut.
_LONGEST_TEXT = 64 << 20
_BASE64 = re.compile(r"[A-Za-z0-9+/_\r\n-]+={0,2}\s*\Z")
_ALPHABET = str.maketrans("-_", "+/", "\r\n")
#: How files that are opened in place begin: zip, gzip, numpy, bzip2, xz, zlib, lzma, zstd, lz4, tar is not among them.
MAGIC = frozenset(b"P\x1f\x93B\xfdx]\x28\x04")


def packed(value: bytes | str) -> bytes | None:
    """Return the bytes of a constant of at least ``SHORTEST`` that may be a file of its own, or None."""
    if isinstance(value, bytes):
        if len(value) >= _SHORTEST_TEXT and value[:4].isalnum() and len(value) <= _LONGEST_TEXT and value.isascii():
            return unpacked_text(value.decode("ascii")) or value
        return value
    return unpacked_text(value) if len(value) >= _SHORTEST_TEXT else None


def unpacked_text(value: str) -> bytes | None:
    """Return what base64 text holds, or None if it is none."""
    if len(value) > _LONGEST_TEXT or not _BASE64.match(value):
        return None
    plain = value.translate(_ALPHABET).strip().rstrip("=")
    if len(plain) % 4 == 1:
        return None
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4))
    except (binascii.Error, ValueError):
        return None
