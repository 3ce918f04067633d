"""Whether text that a loader joins to a path leaves the folder. Read by every scanner that meets a path inside a file.

Source:
    RFC 3986, sections 3.1 and 4.2; Win32 "Naming Files, Paths, and Namespaces"; fsspec's chained addresses (``zip::s3://``).
"""

from __future__ import annotations

import re
import unicodedata

#: Names that are a device on Windows in every folder, whatever follows the first dot.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)\s*([.:].*)?\Z", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(
    r"[a-z][a-z0-9+.-]{1,30}:(//|[^/\\:]*://|:)|(file|data|javascript|jar|gs|s3|hf|http|https|ftp|grpc):", re.IGNORECASE
)
_DRIVE = re.compile(r"[a-z]:", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{?[A-Za-z_]|%[A-Za-z_][A-Za-z0-9_()]{1,40}%")
_ENCODED_DOTS = re.compile(r"%(?:25)*2e|%(?:25)*2f|%(?:25)*5c", re.IGNORECASE)


def escapes(text: str) -> str | None:
    """Return why text, joined to the folder's path, would leave the folder; None if it stays inside.

    It says nothing of links in the folder, and takes text for a path: whether a loader does so is the caller's knowledge.

    Args:
        text: The path as the file spells it.
    """
    if "\0" in text:
        return "it holds a NUL, where some readers end it"
    folded = unicodedata.normalize("NFKC", text).strip()
    if _SCHEME.match(folded):
        return "it is a URL"
    path = folded.replace("\\", "/")
    if path.startswith("//"):
        return "it names another machine (UNC), or a device"
    if path.startswith("/"):
        return "it is absolute"
    if _DRIVE.match(path):
        return "it names a drive, or a hidden stream of a file"
    if path.startswith("~"):
        return "it begins in a user's home folder"
    if _VARIABLE.match(path):
        return "it begins with a variable of the loader's environment"
    parts = [part.strip() for part in path.split("/")]
    if any(part == ".." or (part.startswith("..") and not part.strip(". ")) for part in parts):
        return "it climbs out of its folder with '..'"
    if any(_DEVICE.match(part) for part in parts):
        return "it names a device on Windows"
    if _ENCODED_DOTS.search(path):
        return "it hides dots or slashes in percent signs"
    return None
