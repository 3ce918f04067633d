"""What is odd about a path or a member's name: hidden characters, look-alikes, twins, names some system reads otherwise.

Read by ``scanners.inventory``.

Source:
    Unicode Technical Standard 39, section 5 (mixed scripts); UAX 15 (normal forms); Microsoft Learn,
    "Naming Files, Paths, and Namespaces".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from governance.evidence import Severity

#: Names that are a device on Windows, whatever follows the first dot or colon.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *([.:].*)?\Z", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")
_HIDDEN = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
_LONGEST_PART = 255
#: Scripts whose letters pass for Latin ones.
_ALIKE = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "MATHEMATICAL")
_ENDS = " ."


@dataclass(frozen=True)
class Oddity:
    """Something odd about a name; ``rule`` is a rule of the inventory."""

    rule: str
    severity: Severity
    words: str


def oddities(path: str) -> Iterator[Oddity]:
    """Yield what is odd about one path, as it stands in a repository or an archive."""
    parts = path.replace("\\", "/").split("/")
    if not (path.isascii() and path.isprintable()):
        yield from _characters(path, parts)
    if path.startswith(("/", "\\")) or ".." in parts or _DRIVE.match(path):
        yield Oddity("path-escape", Severity.HIGH, "its name leads out of the folder, here or on Windows")
    if any(_DEVICE.match(part) for part in parts):
        yield Oddity("path-escape", Severity.HIGH, "its name is that of a device on Windows")
    if any(part not in ("", ".", "..") and part[-1] in _ENDS for part in parts):
        yield Oddity("name-confusable", Severity.MEDIUM, "its name ends in a dot or a space, which Windows drops")
    if any(len(part.encode("utf-8", "surrogatepass")) > _LONGEST_PART for part in parts):
        yield Oddity("name-confusable", Severity.LOW, "its name is longer than most systems allow")


def _characters(path: str, parts: list[str]) -> Iterator[Oddity]:
    odd = sorted({f"U+{ord(c):04X}" for c in path if unicodedata.category(c) in _HIDDEN})
    if odd:
        words = f"its name holds characters that are not shown ({', '.join(odd[:8])})"
        yield Oddity("name-confusable", Severity.MEDIUM, words)
    for part in parts:
        mixed = sorted({_script(c) for word in re.split(r"[^\w]|_", part) for c in word if _mixes(word) and _script(c) in _ALIKE})
        if mixed:
            words = f"its name mixes Latin letters with look-alikes ({', '.join(s.capitalize() for s in mixed)})"
            yield Oddity("name-confusable", Severity.MEDIUM, words)
            break
    folded = unicodedata.normalize("NFKC", path)
    if folded != unicodedata.normalize("NFC", path) and any(c.isascii() and not o.isascii() for o in path
                                                            for c in unicodedata.normalize("NFKC", o)):  # fmt: skip
        yield Oddity(
            "name-confusable", Severity.MEDIUM, f"its name holds characters that some systems turn into others: {folded!a}"
        )


def _mixes(word: str) -> bool:
    return any("a" <= c.lower() <= "z" for c in word) and not word.isascii()


def _script(character: str) -> str:
    return unicodedata.name(character, "").split(" ", 1)[0]


def twins(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of paths that some file system takes for one: equal after case folding and normalisation."""
    seen: dict[str, str] = {}
    for path in paths:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())
        folded = "/".join(part.rstrip(_ENDS) or part for part in folded.split("/"))
        if folded in seen and seen[folded] != path:
            yield seen[folded], path
        seen.setdefault(folded, path)
