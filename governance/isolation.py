"""The parent's side of one child process: start it cut off, send jobs, read validated lines, end it with its whole group.

Used by ``api.executors``. The child's side is ``governance.confinement`` (what it may reach) and ``governance.wire`` (what
it may say).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from governance.confinement import NETWORK_NOT_REMOVED, SPEC
from governance.context import cpu_count
from governance.errors import Cancelled, CuratorError, IsolationError, LimitError, PluginError, PrerequisiteError
from governance.ranges import Fetch, no_ranges
from governance.wire import LINES, LINES_FD, Done, Given, Job, Line, Stopped, Want

_TICK = 0.25
_MAX_LINE = 4 * 2**20
#: Where a Python program finds its libraries; a home folder is not among them.
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/opt", "/dev")
#: Passed on from the curator's own environment; no token can be among them.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES")


@dataclass(frozen=True, kw_only=True)
class ChildLimits:
    """Ceilings of one child.

    Attributes:
        idle_seconds: Longest silence.
        output_bytes: Most bytes of lines for one job.
        resident_bytes: Most resident memory, watched from outside; None: not watched.
        address_space: Most address space; None for a child that uses a GPU, whose driver reserves it.
    """

    idle_seconds: float
    output_bytes: int
    resident_bytes: int | None = None
    address_space: int | None = None


class Child:
    """One confined process that answers jobs.

    Args:
        module: Its entry point; calls ``governance.wire.serve``.
        scratch: Its only writable folder; its log is ``<module>.log`` there.
        readable: What it may read beside Python itself: the store, data folders.
        limits: Its ceilings.
        unsafe: Start it without isolation; the scorecard will say so.
        devices: Whether it may talk to devices such as a GPU.
    """

    def __init__(
        self,
        module: str,
        *,
        scratch: Path,
        readable: tuple[Path, ...],
        limits: ChildLimits,
        unsafe: bool = False,
        devices: bool = False,
    ) -> None:
        self._module, self._limits = module, limits
        scratch.mkdir(parents=True, exist_ok=True)
        self._log_path = Path(tempfile.mkstemp(dir=scratch, prefix=f"{module}-", suffix=".log")[1])
        lines_out, lines_in = os.pipe()
        spec = {
            "readable": [*_python_paths(), *map(str, readable)],
            "writable": [str(scratch), "/dev/null", "/dev/shm", *(["/dev"] if devices else [])],  # noqa: S108 - shared memory
            "address_space": limits.address_space,
            "file_bytes": 8 * 2**30,
            "open_files": 4096,
            "unsafe": unsafe,
        }
        environment = _environment(scratch) | {SPEC: json.dumps(spec), LINES_FD: str(lines_in)}
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-X", "faulthandler", "-m", "governance.confinement", module],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=scratch,
                env=environment,
                pass_fds=(lines_in,),
                start_new_session=True,
            )
        os.close(lines_in)
        os.set_blocking(lines_out, False)
        assert self._process.stdin is not None  # noqa: S101 - Popen was given a pipe
        os.set_blocking(self._process.stdin.fileno(), False)  # a child that does not read must not hold this process up
        self._lines, self._buffer = lines_out, b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(lines_out, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether another job can be sent."""
        return self._process.poll() is None

    def ask(self, job: Job, *, seconds: float, checkpoint: Callable[[], None], fetch: Fetch = no_ranges) -> Iterator[Line]:
        """Send one job and yield its lines until it is done.

        Args:
            job: What to do.
            seconds: Wall time it may take.
            checkpoint: Called at least every quarter second; may raise ``Cancelled``.
            fetch: Gives parts of files the child asks for; its errors are told to the child.

        Yields:
            Validated lines, without the closing one.

        Raises:
            TimeoutError: The job took too long, or the child fell silent.
            LimitError: The child used too much memory or said too much.
            PrerequisiteError: The child needs something that can be installed.
            IsolationError: It could not be cut off from the network.
            PluginError: It died, or sent something that is no valid line.
        """
        try:
            yield from self._ask(job, seconds=seconds, checkpoint=checkpoint, fetch=fetch)
        except PrerequisiteError:
            raise
        except BaseException:
            self.close()
            raise

    def _ask(self, job: Job, *, seconds: float, checkpoint: Callable[[], None], fetch: Fetch) -> Iterator[Line]:
        start = last = time.monotonic()
        self._send(job.model_dump_json().encode() + b"\n", start + seconds, checkpoint)
        said = 0
        while True:
            checkpoint()
            now = time.monotonic()
            if now - start > seconds:
                raise TimeoutError(f"stopped after {seconds:.0f} s")
            if now - last > self._limits.idle_seconds:
                raise TimeoutError(f"stopped after {self._limits.idle_seconds:.0f} s of silence")
            self._watch_memory()
            if not self._selector.select(_TICK):
                continue
            data = os.read(self._lines, 1 << 16)
            if not data:
                raise self._death()
            last, said = time.monotonic(), said + len(data)
            if said > self._limits.output_bytes or len(self._buffer) > _MAX_LINE:
                raise LimitError(f"{self._module} said too much", limit=self._limits.output_bytes, actual=said)
            *whole, self._buffer = (self._buffer + data).split(b"\n")
            for text in whole:
                match self._parse(text):
                    case Done():
                        return
                    case Stopped() as stopped:
                        raise error_of(stopped)
                    case Want() as want:
                        self._give(want, fetch, start + seconds, checkpoint)
                        last = time.monotonic()
                    case line:
                        yield line

    def _give(self, want: Want, fetch: Fetch, until: float, checkpoint: Callable[[], None]) -> None:
        """Answer a child that asks for parts of a file."""
        try:
            data, refused = fetch(want.name, want.path, want.spans), ""
        except Cancelled:
            raise
        except CuratorError as error:
            data, refused = b"", error.message
        head = Given(length=len(data), refused=refused).model_dump_json().encode()
        self._send(head + b"\n" + data, until, checkpoint)

    def _send(self, data: bytes, until: float, checkpoint: Callable[[], None]) -> None:
        """Write to the child's standard input, and give up on one that does not read."""
        assert self._process.stdin is not None  # noqa: S101 - Popen was given a pipe
        pipe, rest, ready = self._process.stdin.fileno(), memoryview(data), select.poll()
        ready.register(pipe, select.POLLOUT)
        while rest:
            checkpoint()
            if time.monotonic() > until:
                raise TimeoutError(f"{self._module} does not read what it asked for")
            if not ready.poll(_TICK * 1000):
                continue
            try:
                rest = rest[os.write(pipe, rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._death() from error

    def _parse(self, text: bytes) -> Line:
        try:
            return LINES.validate_json(text)
        except ValidationError as error:
            raise PluginError(f"{self._module} sent a line that is not valid: {error.error_count()} errors") from error

    def _watch_memory(self) -> None:
        ceiling = self._limits.resident_bytes
        if ceiling is None:
            return
        try:
            resident = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return
        if resident > ceiling:
            raise LimitError(
                f"{self._module} used {resident / 2**30:.1f} GiB of memory",
                limit=ceiling,
                actual=resident,
                hint="raise limits.evaluate_memory",
            )

    def _death(self) -> CuratorError:
        """Return the error that says how the child ended."""
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return PluginError(f"{self._module} closed its pipe and went on")
        if code == NETWORK_NOT_REMOVED:
            return IsolationError(
                "no child process could be cut off from the network: neither a network namespace nor Landlock is allowed here",
                hint="allow user namespaces, or set CURATOR_ISOLATION=unsafe-none (the scorecard will say so)",
            )
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return PluginError(f"{self._module} {how}{self._last_words()}")

    def _last_words(self) -> str:
        try:
            lines = self._log_path.read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return f"; its last words: {lines[-1][:300]}" if lines else ""

    def close(self) -> None:
        """End the child and every process it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process.wait()
        if self._lines >= 0:
            self._selector.close()
            os.close(self._lines)
            self._lines = -1


def error_of(stopped: Stopped) -> CuratorError | TimeoutError:
    """Return what a job that ended early stands for; the other way round is ``governance.wire.stopped``."""
    match stopped.outcome:
        case "skipped":
            return PrerequisiteError(stopped.reason, hint=stopped.hint)
        case "timed-out":
            return TimeoutError(stopped.reason)
        case "limit":
            return LimitError(stopped.reason, limit=0, actual=0, hint=stopped.hint)
        case "failed":
            return PluginError(stopped.reason, hint=stopped.hint)


def _python_paths() -> list[str]:
    """Return where Python and its libraries lie, this project included."""
    own = Path(__file__).resolve().parents[1]
    found = {*_SYSTEM, sys.prefix, sys.base_prefix, str(own), *(p for p in sys.path if p and Path(p).exists())}
    return sorted(found)


def _environment(scratch: Path) -> dict[str, str]:
    """Return the child's whole environment: no token, no network, no telemetry."""
    passed_on = {k: os.environ[k] for k in _PASSED_ON if k in os.environ}  # noqa: TID251 - a child's scrubbed environment
    return passed_on | {
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "HF_HOME": str(scratch / "hf"),
        "XDG_CACHE_HOME": str(scratch / "cache"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_EVALUATE_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(cpu_count()),
        # Spinning threads starve each other on a busy machine: measured four to nine times slower.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
