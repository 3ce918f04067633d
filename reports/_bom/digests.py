"""Digests of a repository as a bill of materials states them: of its only weight file, of its files, of all together.

Source:
    OpenSSF Model Signing 1.1, "subject": SHA-256 over the raw SHA-256 digests of all files in path order, git's own files
    left out.
"""

from __future__ import annotations

import hashlib
import re

from governance.subject import FileEntry, Subject

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_SHA512 = re.compile(r"[0-9a-f]{128}\Z")
_GIT = frozenset({".git", ".gitattributes", ".github", ".gitignore"})
#: What ``root_digest`` is called; it says how it was made.
ROOT = "oms-root-v1"

Hashes = tuple[tuple[str, str], ...]


def in_path_order(subject: Subject) -> list[FileEntry]:
    """Return a repository's files as paths compare: folder by folder, so that ``sub/z`` stands before ``sub.txt``."""
    return sorted(subject.files, key=lambda f: f.path.split("/"))


def root_digest(subject: Subject) -> str:
    """Return the SHA-256 over the raw digests of all files, or nothing if there is no file or one has no digest."""
    files = [f for f in in_path_order(subject) if f.path.split("/")[0] not in _GIT]
    if not files or not all(_SHA256.match(f.sha256) for f in files):
        return ""
    return hashlib.sha256(b"".join(bytes.fromhex(f.sha256) for f in files)).hexdigest()


def sha256_of(digest: str | None) -> Hashes:
    """Return a digest as hashes if it is one; a child that read hostile bytes may give anything."""
    return (("SHA-256", digest),) if digest and _SHA256.match(digest) else ()


def of_file(entry: FileEntry) -> Hashes:
    """Return the digests of one file, those that are well-formed."""
    more = (("SHA-512", entry.sha512),) if entry.sha512 and _SHA512.match(entry.sha512) else ()
    return (*sha256_of(entry.sha256), *more)


def of_model(subject: Subject) -> tuple[Hashes, str]:
    """Return a model's digests and what they are of: its only weight file, else all files together."""
    weights = [f for f in subject.files if f.path.endswith(_WEIGHTS) and f.present]
    if len(weights) == 1 and (found := of_file(weights[0])):
        return found, weights[0].path
    return sha256_of(root_digest(subject)), ROOT


def are_measured(subject: Subject) -> bool:
    """Return whether every digest was computed from bytes, none taken from a Hub's word."""
    return all(f.digest_source == "computed" for f in subject.files)


def origins(subject: Subject) -> str:
    """Return where the digests of a repository come from, in words of ``FileEntry.digest_source``."""
    return ", ".join(sorted({f.digest_source for f in subject.files})) or "no file"
