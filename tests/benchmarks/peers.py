"""Other scanners, each in an environment of its own, asked through their own command lines and judged by their own exit codes.

    python -m tests.benchmarks.peers FOLDER        # install them below FOLDER

A peer's verdict is ``detect`` (its gate would stop), ``clean`` (it would pass), ``inconclusive`` (it says that it could not finish)
or ``error``. Telemetry is off, and nothing of what is scanned is loaded.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Verdict = Literal["detect", "clean", "inconclusive", "error"]
_OFF = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "NO_ANALYTICS": "1", "MODELAUDIT_NO_TELEMETRY": "1"}


@dataclass(frozen=True)
class Peer:
    """One scanner.

    Attributes:
        name: Of its command and environment.
        packages: What is installed.
        arguments: Of its command line; ``{}`` is the path.
        detects: Exit codes that mean a hit.
        passes: Exit codes that mean nothing was found.
        folders: Whether it takes a folder; else it is asked for each file.
    """

    name: str
    packages: tuple[str, ...]
    arguments: tuple[str, ...]
    detects: tuple[int, ...] = (1,)
    passes: tuple[int, ...] = (0,)
    folders: bool = True


PEERS = {
    p.name: p
    for p in (
        Peer("modelscan", ("modelscan==0.8.8",), ("-p", "{}"), passes=(0, 3)),
        Peer("picklescan", ("picklescan==1.0.5",), ("-p", "{}")),
        Peer("fickling", ("fickling==0.1.12", "typing_extensions"), ("--check-safety", "{}"), folders=False),
        Peer("modelaudit", ("modelaudit==0.2.54",), ("scan", "{}", "--format", "json"), detects=(1,)),
    )
}


def install(peer: Peer, home: Path) -> Path:
    """Install a peer once and return its command."""
    folder = home / peer.name
    command = folder / "bin" / peer.name
    if not command.is_file():
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *peer.packages], check=True)
    return command


def arguments(peer: Peer, home: Path, path: Path) -> list[str]:
    """Return the whole command line for one path."""
    return [str(install(peer, home)), *(a.format(path) for a in peer.arguments)]


def ask(peer: Peer, home: Path, path: Path, *, seconds: float = 120.0) -> Verdict:
    """Return what a peer makes of a path, in a fresh process."""
    paths: Sequence[Path] = [path]
    if path.is_dir() and not peer.folders:
        paths = sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink())
    verdicts = {_one(peer, home, p, seconds) for p in paths}
    for verdict in ("detect", "error", "inconclusive", "clean"):
        if verdict in verdicts:
            return verdict
    return "clean"


def _one(peer: Peer, home: Path, path: Path, seconds: float) -> Verdict:
    try:
        done = subprocess.run(
            arguments(peer, home, path),
            env=environment(),
            capture_output=True,
            check=False,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return "error"
    if b"Traceback (most recent call last)" in done.stderr:
        return "error"
    if done.returncode in peer.detects:
        return "detect"
    return "clean" if done.returncode in peer.passes else "inconclusive"


def environment() -> dict[str, str]:
    """Return the environment a peer runs in."""
    return {**os.environ, **_OFF}


def main() -> int:
    """Install every peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    home = parser.parse_args().home
    for peer in PEERS.values():
        print(install(peer, home))
    return 0


if __name__ == "__main__":
    sys.exit(main())
