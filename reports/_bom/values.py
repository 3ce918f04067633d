"""Checks of single values that CycloneDX and SPDX share: digests, package URLs, licenses, times, texts.

Read by ``reports._bom.lint`` and ``reports._bom.lint_spdx``. Each returns what is wrong in words, or nothing; none raises.

Source:
    Package URL specification, types ``huggingface`` and ``pypi``; SPDX 3.0.1, Annex "SPDX license expressions"; RFC 3339.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime

from license_expression import ExpressionError, Licensing
from packageurl import PackageURL

from reports._bom.licenses import spdx_id

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_HEX = re.compile(r"[0-9a-fA-F]+\Z")
_LOCAL = re.compile(r"(?:^|[\s\"'(=:])(?:/(?:home|root|Users|srv|mnt|tmp|var|opt|data)/\w|[A-Za-z]:\\\w)")
_SECRET = re.compile(r"\b(?:hf_[A-Za-z0-9]{30,60}|gh[pousr]_[A-Za-z0-9]{36,60}|AKIA[0-9A-Z]{16}|xox[abp]-[0-9A-Za-z-]{20,80})\b")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})\Z")
_REFERENCE = re.compile(r"(DocumentRef-[A-Za-z0-9.-]{1,80}:)?LicenseRef-[A-Za-z0-9.-]{1,160}\Z")
_FILLERS = frozenset(
    {"unknown", "transformer", "n/a", "na", "none", "null", "todo", "tbd", "example.com", "placeholder", "noassertion", "-"}
)
_LENGTHS = {
    "md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128, "sha3224": 56, "sha3256": 64, "sha3384": 96,
    "sha3512": 128, "blake2b256": 64, "blake2b384": 96, "blake2b512": 128, "blake3": 64, "streebog256": 64, "streebog512": 128,
}  # fmt: skip
_EMPTY = {"md5": hashlib.md5, "sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}
_LONGEST_EXPRESSION = 2_000


def wrong_hash(algorithm: object, content: object) -> str:
    """Return what is wrong with a digest."""
    name = re.sub(r"[-_]", "", str(algorithm)).lower()
    text = str(content)
    length = _LENGTHS.get(name)
    if length is None:
        return (
            ""
            if name in ("adler32", "crystalskyber", "crystalsdilithium", "falcon", "md2", "md4", "md6", "other")
            else f"{str(algorithm)[:40]!r} is no digest algorithm"
        )
    if not _HEX.match(text):
        return f"{text[:80]!r} is not hexadecimal"
    if len(text) != length:
        return f"{algorithm} has {length} digits, not {len(text)}"
    if len(set(text)) == 1:
        return f"{algorithm} is {text[:1]!r} repeated, a stand-in and no digest"
    if name in _EMPTY and text.lower() == _EMPTY[name](b"").hexdigest():
        return f"{algorithm} is the digest of an empty file"
    return ""


def wrong_purl(text: str, *, data: bool) -> str:
    """Return what is wrong with a package URL.

    Args:
        text: The package URL.
        data: Whether it names a data set.
    """
    try:
        purl = PackageURL.from_string(text)
    except ValueError as error:
        return f"no purl: {str(error)[:200]}"
    if purl.type != "huggingface":
        return ""
    if not _COMMIT.match(purl.version or ""):
        return f"{text[:200]} is not pinned to a commit of 40 digits"
    qualifiers = purl.qualifiers if isinstance(purl.qualifiers, dict) else {}
    if data and qualifiers.get("repo_type") != "dataset":
        return f"{text[:200]} is a data set without repo_type=dataset"
    return ""


def wrong_expression(text: str) -> str:
    """Return what is wrong with a license expression."""
    if len(text) > _LONGEST_EXPRESSION:
        return f"an expression of {len(text)} characters"
    try:
        parsed = Licensing().parse(text)
    except (ExpressionError, ValueError, TypeError, AttributeError, RecursionError, IndexError) as error:
        return f"{text[:120]!r} is no license expression: {' '.join(str(error).split())[:160]}"
    if parsed is None:
        return "an empty license expression"
    strange = sorted(s for s in _symbols(parsed) if not is_license(s))
    return f"{strange[0][:80]!r} in {text[:120]!r} is neither an SPDX id nor a LicenseRef-" if strange else ""


def _symbols(parsed: object) -> Iterator[str]:
    for symbol in getattr(parsed, "symbols", ()):
        if hasattr(symbol, "license_symbol"):
            yield str(symbol.license_symbol.key)
            yield str(symbol.exception_symbol.key)
        else:
            yield str(getattr(symbol, "key", symbol))


def is_license(text: str) -> bool:
    """Return whether a word is an SPDX id in its own spelling, or a reference to a license of the document's own."""
    plain = text.removesuffix("+")
    return spdx_id(plain) == plain or bool(_REFERENCE.match(text))


def references(text: str) -> list[str]:
    """Return the ``LicenseRef-`` names an expression uses."""
    return [w for w in re.split(r"[\s()]+", text[:_LONGEST_EXPRESSION]) if w.startswith(("LicenseRef-", "DocumentRef-"))]


def wrong_time(text: object) -> str:
    """Return what is wrong with a time."""
    if not isinstance(text, str) or not _TIME.match(text):
        return f"{str(text)[:60]!r} is no date and time with a zone"
    try:
        datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
    except ValueError:
        return f"{text[:60]!r} is no day of the calendar"
    return ""


def is_filler(text: object) -> bool:
    """Return whether a word stands where nothing is known."""
    return isinstance(text, str) and text.strip().lower() in _FILLERS


def wrong_text(text: str) -> str:
    """Return what a text gives away of a machine."""
    if _SECRET.search(text):
        return "looks like an access token"
    return "looks like a path of a machine" if _LOCAL.search(text) else ""
