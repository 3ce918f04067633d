"""Killing any process in the middle loses nothing that was finished, and is said in the scorecard."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Tiny

DEADLINE = 120.0


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    def run(tiny: Tiny) -> subprocess.Popen[str]:
        command = [Path(sys.executable).with_name("curator"), "audit", tiny.clean, "--base", tiny.base, "--format", "json"]
        environment = os.environ | {"CURATOR_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return run


def children(pid: int) -> dict[int, str]:
    """Return the command lines of a process's children."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if parent == pid:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, IndexError, ValueError):
                continue
    return found


def wait_for_worker(curator: subprocess.Popen[str]) -> int:
    """Return the device worker's process id once it is at work."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline and curator.poll() is None:
        for pid, command in children(curator.pid).items():
            if "evaluators._runtime.worker" in command:
                return pid
        time.sleep(0.02)
    raise AssertionError("no worker appeared: " + (curator.communicate()[1] or ""))


def checks(card: dict) -> dict[str, dict]:
    return {c["id"]: c for c in card["dossier"]["checks"]}


def test_a_killed_worker_is_a_failed_check_and_asks_for_review(start, tiny: Tiny) -> None:
    curator = start(tiny)
    os.kill(wait_for_worker(curator), signal.SIGKILL)
    out, err = curator.communicate(timeout=DEADLINE)
    card = json.loads(out)
    assert curator.returncode == 10, err
    assert card["verdict"]["decision"] == "review"
    failed = [c for c in checks(card).values() if c["outcome"] == "failed"]
    assert len(failed) == 1, "the next evaluator gets a fresh worker"
    assert "SIGKILL" in failed[0]["reason"]
    assert any(r["status"] == "unknown" for r in card["verdict"]["results"])


def test_a_killed_curator_is_taken_over(start, tiny: Tiny) -> None:
    first = start(tiny)
    worker = wait_for_worker(first)
    first.kill()
    first.communicate()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists(), "a worker does not outlive its curator"
    second = start(tiny)
    out, err = second.communicate(timeout=DEADLINE)
    card = json.loads(out)
    inspected = [c for c in checks(card).values() if c["step"] == "inspect"]
    assert all(c["reused"] for c in inspected if c["outcome"] not in ("failed", "skipped", "timed-out")), err
    assert inspected
    assert {c["outcome"] for c in checks(card).values() if c["step"] == "evaluate"} <= {"completed", "not-applicable"}
