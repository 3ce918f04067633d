"""Which names of a repository are taken in: those that mean the same file on every system, and no other.

Used for Hub listings and for folders alike, before anything is read or downloaded.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

_LONGEST_NAME, _LONGEST_PATH = 255, 1024
_NOT_CONTENT = {
    ".git": "version control data",
    "__pycache__": "compiled copies of Python files",
}


def refusal(path: str) -> str | None:
    """Return why a name is not taken in, or None.

    Args:
        path: As listed, relative to the repository, ``/`` between its parts.
    """
    parts = path.split("/")
    if path.startswith("/"):
        return "the name is absolute: it would lead out of the repository"
    if ".." in parts:
        return "the name has a '..' part: it could lead out of the repository"
    if "" in parts or "." in parts:
        return "the name has an empty part"
    if "\\" in path:
        return "the name has a backslash, which separates folders on other systems"
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in path):
        return "the name has control characters or is not UTF-8"
    if len(path.encode()) > _LONGEST_PATH or any(len(p.encode()) > _LONGEST_NAME for p in parts):
        return f"the name is longer than {_LONGEST_NAME} bytes a part or {_LONGEST_PATH} in all"
    return next((f"{reason}, not part of the model" for p in parts if (reason := _NOT_CONTENT.get(p))), None)


def colliding(paths: Iterable[str]) -> Mapping[str, str]:
    """Return the names that some file systems take for another one, with the reason.

    Of two names that differ by case or Unicode form only, the plainer one stays: lower case before upper case.

    Args:
        paths: Names that ``refusal`` let through.
    """
    ordered = sorted(paths, key=lambda p: (p != _folded(p), p))
    folders = {_folded("/".join(parts[:n])): p for p in ordered for parts in [p.split("/")] for n in range(1, len(parts))}
    kept: dict[str, str] = {}
    found: dict[str, str] = {}
    for path in ordered:
        key = _folded(path)
        if key in kept:
            found[path] = f"the name differs from {kept[key]!r} by case or Unicode form only"
        elif key in folders:
            found[path] = f"the name is also that of the folder of {folders[key]!r}"
        else:
            kept[key] = path
    return found


def shown(name: str) -> str:
    """Return a name that may be printed and stored: what is not printable is escaped."""
    return name.encode("unicode_escape", "surrogatepass").decode("ascii") if not name.isprintable() else name


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
