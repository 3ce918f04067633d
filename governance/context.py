"""What is handed down to every step: time, ids, limits, settings; and the few ways out: progress, rows, cancellation.

The only home of the clock and of new ids. ``api`` makes one ``RunContext`` per run; a child makes its own from the job it
was given. Nothing here is looked up later.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from pydantic import Field

from governance.errors import SubjectError
from governance.evidence import ItemRow
from governance.licensing import Intent, LicenseTable
from governance.ranges import Fetch, no_ranges, ranged
from governance.store import Store
from governance.subject import Held, Noun, Subject

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def utc_now() -> datetime:
    """Return the current time in UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - the one home of the clock


def new_run_id() -> str:
    """Return a fresh identifier that sorts by time (ULID: 48 bits of milliseconds, 80 random bits).

    Source:
        ULID specification, section "Binary layout".
    """
    number = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -5, -5))


class Limits(Noun):
    """Ceilings. Every read and every child stays below them."""

    file_bytes: int = Field(default=20 * 2**30, description="one file")
    total_bytes: int = Field(default=60 * 2**30, description="one repository")
    files: int = Field(default=5_000, description="entries of one repository")
    document_bytes: int = Field(default=32 * 2**20, description="one JSON, YAML or text document; a tokenizer.json is the largest")
    header_bytes: int = Field(default=100 * 2**20, description="header of one safetensors file")
    pickle_opcodes: int = Field(default=5_000_000, description="opcodes walked in one pickle stream")
    archive_entries: int = Field(default=20_000, description="members of one archive")
    archive_depth: int = Field(default=4, description="archives inside archives")
    archive_ratio: int = Field(default=200, description="uncompressed bytes for each compressed byte")
    findings: int = Field(default=1_000, description="findings one plug-in may report")
    inspect_seconds: float = Field(default=300.0, description="wall time of one scanner")
    evaluate_seconds: float = Field(default=3_600.0, description="wall time of one evaluator")
    idle_seconds: float = Field(default=300.0, description="silence of a child")
    inspect_memory: int = Field(default=4 * 2**30, description="address space of the inspection child, bytes")
    evaluate_memory: int = Field(default=16 * 2**30, description="resident memory of the device worker, bytes")
    output_bytes: int = Field(default=256 * 2**20, description="lines one child may send for one job")


class EvaluationSettings(Noun):
    """What is measured."""

    suite: str = Field(default="auto", description="a suite's id, or auto: chosen from the domain the card speaks of")
    tasks: tuple[str, ...] = Field(default=(), description="lm-eval task names, fetched from the Hub")
    data: Path | None = Field(default=None, description="folder of JSONL files with a manifest.json")
    task_data: dict[str, Path] = Field(default_factory=dict, description="fetched data set folder by Hub data set name")
    limit: int | None = Field(default=None, ge=1, description="items per task")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    stop_early: bool = Field(default=True, description="stop asking a family once its verdict is beyond doubt")
    shard: tuple[int, int] | None = Field(
        default=None, description="answer only units of this index out of so many; keep rows, say nothing"
    )
    probe: Literal["fast", "off"] = Field(default="fast", description="effort of the backdoor probe")


class Progress(Noun):
    """One sign of life; goes out and is never read back."""

    kind: Literal["progress"] = "progress"
    run_id: str = ""
    step: str = Field(description="acquire, inspect, evaluate, decide or record")
    item: str = Field(default="", description="plug-in or file")
    done: int = 0
    total: int | None = None
    message: str = ""


def _silent(_: object) -> None:
    """Take anything, say nothing."""


def _never() -> None:
    """Never cancel."""


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Everything a step may know beside its input."""

    run_id: str
    on: datetime
    store: Store
    seed: int = 20261124
    limits: Limits = field(default_factory=Limits)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    license_terms: LicenseTable = field(default_factory=dict)
    intent: Intent = field(default_factory=Intent)
    margins: Mapping[str, float] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)
    trusted_publishers: tuple[str, ...] = ()
    fetch: Fetch = no_ranges
    emit: Callable[[Progress], None] = _silent
    keep: Callable[[ItemRow], None] = _silent
    checkpoint: Callable[[], None] = _never

    def path(self, subject: Subject, name: str) -> Path:
        """Return where a whole file of a subject lies on this disk.

        Raises:
            SubjectError: The subject has no such file, or its bytes are not here.
        """
        if subject.held is not Held.FOLDER:
            return self.store.path(subject, name)
        entry = subject.file(name)
        if entry is None or not entry.present or subject.name not in self.folders:
            raise SubjectError(f"{subject} holds no file {name!r} here")
        path = self.folders[subject.name] / PurePosixPath(entry.path)
        return path.resolve() if entry.link is not None else path

    def open(self, subject: Subject, name: str) -> BinaryIO:
        """Open one file of a subject for reading at any place, wherever it is held.

        Raises:
            SubjectError: The subject has no such file, or its bytes cannot be had.
        """
        entry = subject.file(name)
        if subject.held is not Held.RANGES:
            path = self.path(subject, name)
            return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
        if entry is None or not entry.present:
            raise SubjectError(f"{subject} holds no file {name!r} that can be asked for")
        return ranged(lambda spans: self.fetch(subject.name, name, spans), entry.size)

    def kept(self, model_key: str) -> dict[str, ItemRow]:
        """Return the rows already scored under a model key, by item key."""
        return self.store.rows(model_key)


class Stopwatch:
    """Seconds since it was made, monotonic."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Elapsed seconds, to the millisecond."""
        return round(time.monotonic() - self._start, 3)


def cpu_count() -> int:
    """Return the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
