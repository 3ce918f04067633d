"""Credentials in bytes, by their shape: fixed forms first, entropy only beside a telling key. Read by ``scanners.exposed_secrets``.

Literal anchors are looked for first, and a pattern is tried only around one, so that the time is that of a search for words.

Source:
    ``tables/secrets.yaml``, each issuer's own description of its tokens.
"""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from scanners._formats.tables import table

_BEFORE, _AFTER = 300, 7_000
_ANCHORS_TRIED = 2_000
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: What people write where a secret goes.
_STAND_IN = re.compile(
    r"x{4,}|\*{3,}|\.{3}|0{6,}|1{6,}|123456|abcdef|your|example|placeholder|dummy|sample|changeme|replace|insert|redacted|fake|"
    r"secret_here|token_here|key_here|<[^>]*>|\$\{|\$\(|(?-i:\A\$[A-Z_][A-Z0-9_]*\Z)|\A%\w+%\Z|\{\{|%\(|\{[a-z_]+\}|process\.env|os\.environ|getenv|user:pass|"
    r"username:password",
    re.IGNORECASE,
)
_TELLING = re.compile(
    r"((?:api[_\-]?key|apikey|secret|passwd|password|access[_\-]?key|auth[_\-]?token|access[_\-]?token|api[_\-]?token|"
    r"hf[_\-]?token|hub[_\-]?token|wandb[_\-]?(?:api[_\-]?)?key|client[_\-]?secret|private[_\-]?key|credential)[\w\-]{0,20})"
    r"[\"']?\s{0,4}(?:=>|[:=])\s{0,4}[\"']?([A-Za-z0-9+/=_\-!@#$%^&.]{12,200})",
    re.IGNORECASE,
)
_WORDS = (b"key", b"secret", b"passw", b"token", b"credential")
_HOME = re.compile(r"(?:/home/|/Users/|[A-Za-z]:\\{1,2}Users\\{1,2})([\w.\-]{2,40})(?=[/\\])")
_NOBODY = frozenset({
    "user", "username", "ubuntu", "runner", "you", "yourname", "your_username", "name", "me", "public", "shared", "root",
    "jovyan", "appuser", "app", "node", "vscode",
})  # fmt: skip


@dataclass(frozen=True)
class Secret:
    """One credential.

    Attributes:
        what: Whose, with its article.
        masked: How it may be shown.
        offset: Where it begins, in bytes.
        certain: Whether a checksum or structure confirms it.
    """

    what: str
    masked: str
    offset: int
    certain: bool


@dataclass(frozen=True)
class _Shape:
    what: str
    anchors: tuple[bytes, ...]
    pattern: re.Pattern[str]
    check: str


@cache
def _shapes() -> tuple[_Shape, ...]:
    return tuple(
        _Shape(row["id"], tuple(a.encode() for a in row["anchor"]), re.compile(row["pattern"]), row["check"])
        for row in table("secrets")
    )


def find_secrets(data: bytes, *, keyed: bool = True) -> tuple[Secret, ...]:
    """Return the credentials in bytes, in order, each once.

    Args:
        data: Text, or a header that holds text.
        keyed: Also look for values beside telling keys.
    """
    found: dict[str, Secret] = {}
    for shape in _shapes():
        for secret, text in _shaped(data, shape):
            found.setdefault(text, secret)
    if keyed:
        for secret, text in _keyed(data):
            if not any(text in known or known in text for known in found):
                found[text] = secret
    return tuple(sorted(found.values(), key=lambda s: s.offset))


def home_folders(data: bytes) -> tuple[str, ...]:
    """Return names of people in paths of home folders; names that stand for anybody are left out."""
    if b"/home/" not in data and b"Users" not in data:
        return ()
    names = Counter(m[1] for m in _HOME.finditer(data.decode("utf-8", "replace")))
    return tuple(name for name, _ in names.most_common(20) if name.lower() not in _NOBODY)


def _shaped(data: bytes, shape: _Shape) -> Iterator[tuple[Secret, str]]:
    for anchor in shape.anchors:
        place = searched = 0
        for _ in range(_ANCHORS_TRIED):
            place = data.find(anchor, place)
            if place < 0:
                break
            if place >= searched:
                start = max(0, place - _BEFORE)
                after = _AFTER if shape.check in ("pem", "jwt") else 400
                window = data[start : place + after].decode("latin-1")
                for match in shape.pattern.finditer(window):
                    yield from _judged(shape, match[1], start + match.start(1))
                searched = place + after - _BEFORE
            place += len(anchor)


def _judged(shape: _Shape, text: str, offset: int) -> Iterator[tuple[Secret, str]]:
    if shape.check == "pem":
        body = re.sub(r"\\n|\\r|\s|-{5}.*", "", text)
        if len(body) >= 64 and not _STAND_IN.search(body[:200].replace("0000", "")):
            yield Secret(shape.what, f"({len(body)} characters)", offset, True), text[:200]
        return
    if (shape.check == "jwt" and not _is_jwt(text)) or (shape.check == "basic" and not _is_login(text)):
        return
    if (
        _STAND_IN.search(text)
        or (shape.check not in ("password", "basic") and _entropy(text) < 3.0)
        or (shape.check == "password" and text.isalpha() and text.islower() and len(text) < 9)
    ):
        return
    yield Secret(shape.what, _masked(text), offset, shape.check == "jwt" or (shape.check == "crc32" and _crc_holds(text))), text


def _keyed(data: bytes) -> Iterator[tuple[Secret, str]]:
    low = data.lower()
    if not any(word in low for word in _WORDS):
        return
    text = data.decode("latin-1")
    for line in re.finditer(r"[^\n]+", text):
        piece = line[0]
        small = piece.lower()
        if not any(w.decode() in small for w in _WORDS):
            continue
        for start in range(0, min(len(piece), 200_000), 4_000):
            for match in _TELLING.finditer(piece, start, start + 4_400):
                value = match[2]
                mixed = sum(map(bool, (re.search(r"[a-z]", value), re.search(r"[A-Z]", value), re.search(r"\d", value))))
                hexed = re.fullmatch(r"[0-9a-f]{32,64}", value) is not None
                if _STAND_IN.search(value) or not (hexed or (mixed == 3 and len(value) >= 16 and _entropy(value) >= 3.6)):
                    continue
                if "/" in value and "." in value.rsplit("/", 1)[-1]:
                    continue
                yield (
                    Secret(f"a value beside the key {match[1][-40:]!a}", _masked(value), line.start() + match.start(2), False),
                    value,
                )


def _is_jwt(text: str) -> bool:
    head = text.split(".", 1)[0]
    try:
        value = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "alg" in value


def _is_login(text: str) -> bool:
    """Return whether text is a name and a password in Base64."""
    try:
        name, colon, password = base64.b64decode(text + "=" * (-len(text) % 4)).decode("utf-8").partition(":")
    except (ValueError, UnicodeDecodeError):
        return False
    return bool(colon and name.isprintable() and len(password) > 3 and password.isprintable() and not _STAND_IN.search(password))


def _crc_holds(text: str) -> bool:
    body, told = text.split("_", 1)[1][:-6], text[-6:]
    number, digits = zlib.crc32(body.encode()), ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(6, "0") == told


def _entropy(text: str) -> float:
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values()) if text else 0.0


def _masked(text: str) -> str:
    return f"{text[: min(6, len(text) // 4)]}… ({len(text)} characters)"
