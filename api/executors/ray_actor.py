"""An actor's side of a cluster: one confined device worker on one node, and the lines it says, passed on as text.

The actor is no more than a relay: what touches a model is the same confined child as on one machine. It imports nothing of
Ray, so that it can be run and tested by itself.
"""

from __future__ import annotations

import hashlib
import os
import platform
import queue
import subprocess
import threading
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import Field

from api.executors.children import data_folders, device_worker
from governance import VERSION
from governance.context import EvaluationSettings, cpu_count
from governance.errors import Cancelled, IsolationError, PluginError
from governance.isolation import Child
from governance.subject import Noun
from governance.wire import Done, Job, Stopped, stopped

#: What must be equal on every node for two answers to be comparable bit for bit.
LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "safetensors", "lm-eval")
#: Lines that travel as one message.
_BATCH = 64


class Site(Noun):
    """Where an actor runs, as far as it decides about numbers."""

    node: str = Field(description="host name; for people")
    hardware: str = Field(description="accelerators, or the processor and how many threads it gives")
    versions: dict[str, str]
    sees: str = Field(description="SHA-256 of the file it was asked to read; empty: it is not there")
    misses: tuple[str, ...] = Field(default=(), description="folders it cannot see")

    @property
    def numerics(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What must be the same on every node of one run."""
        return self.hardware, tuple(sorted(self.versions.items()))


class Actor:
    """Answers jobs on one node.

    Args:
        scratch: Folder for the worker's own files and logs, on the file system all nodes share.
        unsafe: Start the worker without isolation.
    """

    def __init__(self, scratch: str, unsafe: bool) -> None:
        self._scratch, self._unsafe = Path(scratch), unsafe
        self._child: Child | None = None
        self._readable: tuple[Path, ...] = ()
        self._ending = threading.Event()

    def site(self, probe: str, evaluation: str, accelerated: bool) -> str:
        """Return where this is, as a ``Site`` in JSON.

        Args:
            probe: Path of a small file that the driver has just written into the store.
            evaluation: ``EvaluationSettings`` in JSON; names the folders that must be seen.
            accelerated: Whether a device was lent to it.
        """
        wanted = data_folders(EvaluationSettings.model_validate_json(evaluation))
        try:
            sees = hashlib.sha256(Path(probe).read_bytes()).hexdigest()
        except OSError:
            sees = ""
        return Site(
            node=platform.node(),
            hardware=_accelerator() if accelerated else f"{_processor()}, {cpu_count()} threads",
            versions={"model-curator": VERSION, **{k: v for k in LIBRARIES if (v := _version(k))}},
            sees=sees,
            misses=tuple(str(p) for p in wanted if not p.exists()),
        ).model_dump_json()

    def work(self, text: str) -> Iterator[list[str]]:
        """Do one job and yield its lines as they come, in handfuls; the last one is ``Done`` or ``Stopped``.

        Args:
            text: The ``Job`` in JSON.
        """
        job = Job.model_validate_json(text)
        lines: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(job, lines), daemon=True).start()
        ended = False
        while not ended:
            text, ended = lines.get()
            batch = [text]
            while not ended and len(batch) < _BATCH and not lines.empty():
                text, ended = lines.get()
                batch.append(text)
            yield batch

    def close(self) -> None:
        """End the worker."""
        self._ending.set()
        if self._child is not None:
            self._child.close()

    def _read(self, job: Job, lines: queue.SimpleQueue[tuple[str, bool]]) -> None:
        end: Done | Stopped = Done()
        try:
            for line in self._worker(job).ask(job, seconds=job.limits.evaluate_seconds, checkpoint=self._checkpoint):
                lines.put((line.model_dump_json(), False))
        except (PluginError, IsolationError) as error:
            end = Stopped(reason=error.message, hint=error.hint)
        except Exception as error:  # noqa: BLE001 - a crash is a line with a reason; the driver decides what follows
            end = stopped(error)
        lines.put((end.model_dump_json(), True))

    def _checkpoint(self) -> None:
        if self._ending.is_set():
            raise Cancelled("the actor is closed")

    def _worker(self, job: Job) -> Child:
        readable = (job.store, *data_folders(job.evaluation))
        if self._child is not None and self._child.alive and readable != self._readable:
            self._child.close()
        if self._child is None or not self._child.alive:
            self._readable = readable
            self._child = device_worker(self._scratch, job.store, job.limits, job.evaluation, unsafe=self._unsafe)
        return self._child


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """Return what decides which kernels a processor runs: its model and its instruction sets."""
    try:
        lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()]
    except OSError:
        return platform.processor() or platform.machine()
    said = {key.strip(): value.strip() for key, _, value in lines}
    flags = hashlib.sha256(" ".join(sorted(said.get("flags", said.get("Features", "")).split())).encode()).hexdigest()[:8]
    return f"{said.get('model name', platform.machine())} ({flags})"


def _accelerator() -> str:
    """Return the name of the device lent to this process and its driver's version."""
    lent = os.environ.get("CUDA_VISIBLE_DEVICES", "")  # noqa: TID251 - the cluster says it nowhere else
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", *([f"--id={lent}"] if lent else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return "an accelerator that does not tell its name"
    return "; ".join(sorted(set(done.stdout.strip().splitlines())))
