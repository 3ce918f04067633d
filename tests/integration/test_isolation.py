"""Children have no network, may not write elsewhere, hold their limits, and their death is an error with a reason."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from governance.context import RunContext
from governance.errors import Cancelled, LimitError, PluginError, PrerequisiteError, SubjectError
from governance.evidence import Coverage, Reached
from governance.isolation import Child, ChildLimits
from governance.ranges import Span
from governance.wire import Line, job_for

MODULE = "tests.integration.misbehaving_child"
LIMITS = ChildLimits(idle_seconds=5, output_bytes=2**20, resident_bytes=2**30, address_space=2 * 2**30)


@pytest.fixture
def hire(tmp_path: Path) -> Iterator:
    children = []

    def start(**changes: object) -> Child:
        child = Child(MODULE, scratch=tmp_path / "scratch", readable=(), limits=dataclasses.replace(LIMITS, **changes))
        children.append(child)
        return child

    yield start
    for child in children:
        child.close()


def ask(child: Child, what: str, ctx: RunContext, *, seconds: float = 20.0) -> list[Line]:
    return list(child.ask(job_for(ctx, task="plugin", plugin=what), seconds=seconds, checkpoint=ctx.checkpoint))


def said(lines: list[Line]) -> list[str]:
    return [line.reason for line in lines if isinstance(line, Coverage)]


def test_a_child_says_what_it_was_cut_off_from(hire, ctx: RunContext) -> None:
    reached = next(line for line in ask(hire(), "hello", ctx) if isinstance(line, Reached))
    assert "network" in reached.isolation or "TCP" in reached.isolation


def test_a_child_has_no_network(hire, ctx: RunContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            pass  # this process can
        assert said(ask(hire(), f"connect:{port}", ctx))[0].startswith("refused")


def test_a_child_writes_to_its_own_folder_only(hire, ctx: RunContext, tmp_path: Path) -> None:
    assert said(ask(hire(), f"write:{tmp_path / 'outside.txt'}", ctx)) == ["refused"]
    assert not (tmp_path / "outside.txt").exists()
    assert said(ask(hire(), f"write:{tmp_path / 'scratch' / 'inside.txt'}", ctx)) == ["written"]


def test_a_child_reads_no_private_file(hire, ctx: RunContext, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    assert said(ask(hire(), f"read:{tmp_path / 'token'}", ctx)) == ["refused"]


def test_a_child_inherits_no_secret(hire, ctx: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert "HF_TOKEN" not in said(ask(hire(), "environment", ctx))[0]


def test_one_child_answers_several_jobs(hire, ctx: RunContext) -> None:
    child = hire()
    first, second = said(ask(child, "pid", ctx)), said(ask(child, "pid", ctx))
    assert first == second == [str(child.pid)]


def test_death_by_signal_is_named_and_what_was_said_stays(hire, ctx: RunContext) -> None:
    child = hire()
    lines: list[Line] = []
    answers = child.ask(job_for(ctx, task="plugin", plugin="say-and-die"), seconds=20, checkpoint=ctx.checkpoint)
    with pytest.raises(PluginError, match="SIGKILL"):
        lines.extend(answers)
    assert said(lines) == ["before"]
    assert not child.alive


def test_a_crash_in_native_code_is_named(hire, ctx: RunContext) -> None:
    with pytest.raises(PluginError, match=r"SIGSEGV|SIGABRT"):
        ask(hire(), "crash", ctx)


def test_an_exception_keeps_its_words_and_the_child(hire, ctx: RunContext) -> None:
    with pytest.raises(PluginError, match="ValueError: no such thing"):
        ask(hire(), "raise", ctx)


def test_a_missing_prerequisite_names_the_command(hire, ctx: RunContext) -> None:
    with pytest.raises(PrerequisiteError) as caught:
        ask(hire(), "prerequisite", ctx)
    assert caught.value.hint == "pip install it"


def test_wall_time_and_silence_are_limited(hire, ctx: RunContext) -> None:
    with pytest.raises(TimeoutError, match="stopped after 1 s"):
        ask(hire(), "sleep", ctx, seconds=1)
    with pytest.raises(TimeoutError, match="silence"):
        ask(hire(idle_seconds=1.0), "sleep", ctx)


def test_resident_memory_is_watched(hire, ctx: RunContext) -> None:
    with pytest.raises(LimitError, match="GiB of memory"):
        ask(hire(resident_bytes=300 * 2**20, address_space=None), "grow", ctx)


def test_address_space_is_limited(hire, ctx: RunContext) -> None:
    with pytest.raises(PluginError, match="MemoryError"):
        ask(hire(resident_bytes=None, address_space=2**30), "grow", ctx)


def test_a_talker_and_a_liar_are_ended(hire, ctx: RunContext) -> None:
    with pytest.raises(LimitError, match="said too much"):
        ask(hire(output_bytes=10_000), "talk", ctx)
    with pytest.raises(PluginError, match="not valid"):
        ask(hire(), "lie", ctx)


def test_cancelling_kills_the_whole_group(hire, ctx: RunContext) -> None:
    child = hire()

    def stop() -> None:
        raise Cancelled("enough")

    asked = dataclasses.replace(ctx, checkpoint=stop)
    with pytest.raises(Cancelled):
        ask(child, "sleep", asked)
    assert not child.alive


def fetch(name: str, path: str, spans: Sequence[Span]) -> bytes:
    if path != "weights.bin" or any(at + n > 1000 for at, n in spans if n < 4 << 20):
        raise SubjectError("no such part")
    return b"".join(b"x" * n for _, n in spans)


def ask_with(child: Child, what: str, ctx: RunContext, *, seconds: float = 20.0) -> list[Line]:
    job = job_for(ctx, task="plugin", plugin=what)
    return list(child.ask(job, seconds=seconds, checkpoint=ctx.checkpoint, fetch=fetch))


def test_a_child_is_given_parts_of_files_and_refusals_with_their_reason(hire, ctx: RunContext) -> None:
    child = hire()
    assert said(ask_with(child, "want:0,1000", ctx)) == ["x" * 1000]
    with pytest.raises(PluginError, match="no such part"):
        ask_with(child, "want:1,1000", ctx)
    child = hire()
    with pytest.raises(PluginError, match="cannot be asked for"):
        ask(child, "want:0,10", ctx)


def test_a_child_that_wants_and_does_not_read_or_dies_holds_nobody_up(hire, ctx: RunContext) -> None:
    with pytest.raises(TimeoutError, match="does not read"):
        ask_with(hire(), "want-and-sleep", ctx, seconds=2)
    with pytest.raises(PluginError, match="SIGKILL"):
        ask_with(hire(), "want-and-die", ctx)
    with pytest.raises(PluginError, match="not valid"):
        ask_with(hire(), "want-too-much", ctx)


def _ask_and_lose(child: Child, ctx: RunContext) -> None:
    with contextlib.suppress(PluginError, OSError, ValueError):
        ask(child, "sleep", ctx)


def test_a_child_ends_with_its_parent(hire, ctx: RunContext) -> None:
    child = hire()
    running = threading.Thread(target=_ask_and_lose, args=(child, ctx), daemon=True)
    running.start()
    time.sleep(2.5)
    os.close(child._lines)  # what the kernel does when the curator is killed
    deadline = time.monotonic() + 5
    while child.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    alive = child.alive
    child._lines = -1
    os.kill(child.pid, signal.SIGKILL) if alive else None
    assert not alive
