"""What a folder holds beside the model and still acts: git hooks, commands in a repository's configuration, compiled Python.

The folders they lie in are not taken in; these are named one by one. Only names are looked at, and of ``.git/config`` the keys
whose values git runs.

Source:
    git 2.43, ``githooks`` and ``git-config`` (core.fsmonitor, core.sshCommand, core.hooksPath, filter.*, diff.*, merge.*, alias.*,
    include.*); CVE-2022-24765; PEP 3147 (``__pycache__``).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

_MOST, _CONFIG_BYTES = 100, 1 << 18
_SECTION = re.compile(r"\[\s*([A-Za-z0-9.-]{1,60})[^\]\n]{0,300}\]")
_SETTING = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,60})[ \t]*(?:=[ \t]*(.*))?\Z")
#: Keys whose value git runs, opens as further configuration, or looks for hooks in.
_RUN = {
    "core": frozenset(("fsmonitor", "sshcommand", "hookspath", "editor", "pager", "askpass", "gitproxy", "alternaterefscommand")),
    "filter": frozenset(("clean", "smudge", "process")),
    "diff": frozenset(("external", "command", "textconv")),
    "merge": frozenset(("driver",)),
    "mergetool": frozenset(("cmd", "path")),
    "difftool": frozenset(("cmd", "path")),
    "credential": frozenset(("helper",)),
    "sequence": frozenset(("editor",)),
    "interactive": frozenset(("difffilter",)),
    "gpg": frozenset(("program",)),
    "include": frozenset(("path",)),
    "includeif": frozenset(("path",)),
    "remote": frozenset(("uploadpack", "receivepack", "vcs")),
    "uploadpack": frozenset(("packobjectshook",)),
}
#: Values that run nothing of the repository's own: switches, and helpers of git by their plain name.
_SWITCHES = frozenset(("", "true", "false", "yes", "no", "on", "off", "0", "1"))
_LFS_HOOK = re.compile(
    rb'#!/bin/sh\n(command -v git-lfs >/dev/null 2>&1 \|\| \{ (echo|printf) >&2( "[^"$`]{0,1000}"){1,3}; exit 2; \}\n)?'
    rb'git lfs (post-checkout|post-commit|post-merge|pre-push) "\$@"\n?'
)
_HARMLESS_WORDS = frozenset(("cache", "store", "manager", "manager-core", "osxkeychain", "libsecret", "wincred"))


def acting(folder: Path, path: str) -> Iterator[tuple[str, str]]:
    """Yield (name, reason) of what acts in a folder that is not taken in.

    Args:
        folder: ``.git`` or ``__pycache__``, on this disk.
        path: Its name in the subject.
    """
    if folder.name == ".git":
        yield from _hooks(folder / "hooks", f"{path}/hooks")
        keys = _commands(folder / "config")
        if keys:
            yield f"{path}/config", f"git runs it: {', '.join(keys[:5])}: commands or further settings are in it; not scanned"
    elif folder.name == "__pycache__":
        for name in _names(folder, ".pyc"):
            if not os.path.lexists(folder.parent / f"{name.split('.', 1)[0]}.py"):
                yield f"{path}/{name}", "compiled Python without its source; not scanned"


def _hooks(folder: Path, path: str) -> Iterator[tuple[str, str]]:
    for name in _names(folder, ""):
        if not name.endswith(".sample") and not _is_of_lfs(folder / name):
            yield f"{path}/{name}", "git runs it: a hook of the repository; not scanned"


def _is_of_lfs(file: Path) -> bool:
    """Return whether a hook is one that Git LFS writes into every clone, and says nothing else."""
    return _LFS_HOOK.fullmatch((_read(file, 4_096) or b"").replace(b"\r\n", b"\n")) is not None


def _read(file: Path, most: int) -> bytes | None:
    """Return the beginning of a plain file, or None if it is none."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with open(handle, "rb") as stream:
        return stream.read(most) if stat.S_ISREG(os.fstat(handle).st_mode) else None


def _names(folder: Path, end: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            found = [e.name for e in entries if e.name.endswith(end) and not e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return sorted(found)[:_MOST]


def _commands(file: Path) -> list[str]:
    """Return the keys of a repository's configuration whose values git runs."""
    if not os.path.lexists(file):
        return []
    data = _read(file, _CONFIG_BYTES + 1)
    if data is None:
        return ["settings behind a link"]
    text = data.decode("utf-8", "replace")
    if len(text) > _CONFIG_BYTES:
        return ["more settings than any clone has"]
    found, section = list[str](), ""
    for line in text.replace("\\\r\n", "").replace("\\\n", "").splitlines():
        rest = line.strip()
        while head := _SECTION.match(rest):
            section, rest = head[1].lower().split(".", 1)[0], rest[head.end() :].strip()
        said = _SETTING.match(rest)
        if said and (why := _runs(section, said[1].lower(), (said[2] or "").strip().strip('"'))):
            found.append(why)
    return list(dict.fromkeys(found))


def _runs(section: str, key: str, value: str) -> str:
    if section == "alias":
        return f"alias.{key}" if value.startswith("!") else ""
    if key in ("url", "pushurl") and value.lower().startswith("ext::"):
        return f"{section}.{key}"
    if key not in _RUN.get(section, ()):
        return ""
    honest = value.lower() in _SWITCHES or (value.startswith("git-lfs ") and not set(value) & set("|;&$`<>()"))
    return "" if honest or (section == "credential" and value.lower() in _HARMLESS_WORDS) else f"{section}.{key}"
