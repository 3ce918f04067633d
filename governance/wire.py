"""What travels between the curator and a child process: one job as JSON in, JSON lines out.

While it works on a job, a child may ask for parts of a file that is held elsewhere (``Want``); the answer comes where jobs
come, as one line that says how many bytes follow (``Given``), and these bytes.

The parent side is ``governance.isolation``; the child's entry points (``scanners._child``, ``evaluators._runtime.worker``)
call ``serve``. Every line is validated on arrival: a child that parsed hostile bytes may lie about its subject, and can
do nothing else.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from governance.context import EvaluationSettings, Limits, Progress, RunContext
from governance.contracts import Said
from governance.errors import LimitError, PrerequisiteError, SubjectError
from governance.evidence import Component, Coverage, Finding, ItemRow, Measurement, Reached
from governance.licensing import Intent, LicenseTerms
from governance.ranges import MOST_ASKED, MOST_SPANS, Span
from governance.store import Store
from governance.subject import Composition, Description, Noun, Subject

#: Name of the variable that tells a child which descriptor to write its lines to.
LINES_FD = "CURATOR_LINES_FD"


class Job(Noun):
    """One piece of work for a child."""

    task: Literal["describe", "plugin"]
    plugin: str = ""
    subject: Subject | None = None
    composition: Composition | None = None
    store: Path
    run_id: str
    on: datetime
    seed: int
    limits: Limits
    evaluation: EvaluationSettings
    license_terms: dict[str, LicenseTerms] = Field(default_factory=dict)
    intent: Intent = Intent()
    margins: dict[str, float] = Field(default_factory=dict)
    folders: dict[str, Path] = Field(default_factory=dict)
    trusted_publishers: tuple[str, ...] = ()


class Want(Noun):
    """A child asks for parts of a file that is not on this disk."""

    kind: Literal["want"] = "want"
    name: str = Field(description="the subject's name")
    path: str
    spans: tuple[tuple[int, int], ...] = Field(min_length=1, max_length=MOST_SPANS, description="(offset, length) of each part")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if any(at < 0 or length <= 0 for at, length in self.spans) or sum(n for _, n in self.spans) > MOST_ASKED:
            raise ValueError("parts must be positive and not more than one answer holds")
        return self


class Given(Noun):
    """The head of an answer to ``Want``: so many bytes follow, or why there are none."""

    length: int = Field(ge=0)
    refused: str = ""


class Described(Noun):
    """Answer to a ``describe`` job."""

    kind: Literal["described"] = "described"
    description: Description


class Done(Noun):
    """The job ended by itself."""

    kind: Literal["done"] = "done"


class Stopped(Noun):
    """The job ended with an error."""

    kind: Literal["stopped"] = "stopped"
    reason: str
    outcome: Literal["failed", "skipped", "timed-out", "limit"] = "failed"
    hint: str = ""


Line = Progress | ItemRow | Finding | Measurement | Component | Coverage | Reached | Described | Want | Done | Stopped
#: Lines of coverage in a row that are sent at once; then the most that waits, and how long.
_AT_ONCE = 16
_WAITING_BYTES, _WAITING_SECONDS = 1 << 15, 0.2
#: Parses one line.
LINES: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="kind")])

#: What a child does with a job: yields facts and coverage, or a description.
Handler = Callable[[Job, RunContext], Iterator[Said | Description]]


def job_for(
    ctx: RunContext,
    *,
    task: Literal["describe", "plugin"],
    plugin: str = "",
    subject: Subject | None = None,
    composition: Composition | None = None,
) -> Job:
    """Return the job that lets a child make the same context again."""
    return Job(
        task=task,
        plugin=plugin,
        subject=subject,
        composition=composition,
        store=ctx.store.root,
        run_id=ctx.run_id,
        on=ctx.on,
        seed=ctx.seed,
        limits=ctx.limits,
        evaluation=ctx.evaluation,
        license_terms=dict(ctx.license_terms),
        intent=ctx.intent,
        margins=dict(ctx.margins),
        folders=dict(ctx.folders),
        trusted_publishers=ctx.trusted_publishers,
    )


def stopped(error: Exception) -> Stopped:
    """Return the line that says why a job ended early."""
    match error:
        case PrerequisiteError():
            return Stopped(reason=error.message, outcome="skipped", hint=error.hint)
        case TimeoutError():
            return Stopped(reason=str(error), outcome="timed-out")
        case LimitError():
            return Stopped(reason=error.message, outcome="limit", hint=error.hint)
        case _:
            return Stopped(reason=f"{type(error).__name__}: {error}"[:2000])


def serve(handler: Handler, *, isolation: str) -> None:
    """Answer jobs from standard input until it closes. Called once, by a child's entry point.

    Args:
        handler: Does the work; its exceptions become ``Stopped`` lines.
        isolation: What this process was cut off from, told with each job.
    """
    with os.fdopen(int(os.environ[LINES_FD]), "wb", buffering=0) as pipe:  # noqa: TID251 - the pipe's number is no setting
        threading.Thread(target=_end_with_reader, args=(pipe.fileno(),), daemon=True).start()
        out = _Out(pipe)
        while text := sys.stdin.buffer.readline():
            job = Job.model_validate_json(text)
            out.write(Reached(isolation=isolation))
            out.write(_answer(handler, job, out))


def _end_with_reader(fd: int) -> None:
    """End this process once nobody reads its lines: the curator was killed, and a long job would never notice."""
    watch = select.poll()
    watch.register(fd, select.POLLERR)
    watch.poll()
    os._exit(1)


class _Out:
    """The way to the curator. Long coverage waits a little for more of it: of a thousand files there are a thousand such lines.

    Whatever else is said goes out at once, with the coverage before it, so that a child that dies has told its findings.
    """

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe, self._waiting = pipe, bytearray()
        self._sent, self._turn, self._row = time.monotonic(), threading.Lock(), 0

    def write(self, line: Line) -> None:
        """Send one line."""
        with self._turn:
            self._waiting += line.model_dump_json().encode() + b"\n"
            due = len(self._waiting) > _WAITING_BYTES or time.monotonic() - self._sent > _WAITING_SECONDS
            self._row = self._row + 1 if isinstance(line, Coverage) else 0
            if self._row <= _AT_ONCE or due:
                self._send()

    def _send(self) -> None:
        data = memoryview(bytes(self._waiting))
        self._waiting.clear()
        while data:
            data = data[self._pipe.write(data) :]
        self._sent = time.monotonic()


class _Asker:
    """Asks the curator's process for parts of files; one question at a time."""

    def __init__(self, out: _Out) -> None:
        self._out, self._turn = out, threading.Lock()

    def __call__(self, name: str, path: str, spans: Sequence[Span]) -> bytes:
        """Return the bytes of these parts, one after the other.

        Raises:
            SubjectError: They cannot be had; the message is the other side's.
        """
        wanted = sum(length for _, length in spans)
        with self._turn:
            self._out.write(Want(name=name, path=path, spans=tuple(spans)))
            try:
                given = Given.model_validate_json(sys.stdin.buffer.readline())
            except ValidationError as error:
                raise SubjectError(f"{path}: the curator gave no answer") from error
            data = sys.stdin.buffer.read(given.length)
        if given.refused or len(data) != wanted:
            raise SubjectError(given.refused or f"{path}: {len(data)} bytes came of {wanted}")
        return data


def _answer(handler: Handler, job: Job, out: _Out) -> Done | Stopped:
    ctx = RunContext(
        run_id=job.run_id,
        on=job.on,
        store=Store(job.store),
        seed=job.seed,
        limits=job.limits,
        evaluation=job.evaluation,
        license_terms=job.license_terms,
        intent=job.intent,
        margins=job.margins,
        folders=job.folders,
        trusted_publishers=job.trusted_publishers,
        fetch=_Asker(out),
        emit=out.write,
        keep=out.write,
    )
    try:
        for said in handler(job, ctx):
            out.write(Described(description=said) if isinstance(said, Description) else said)
    except Exception as error:  # noqa: BLE001 - the child's twin of the pipeline's rule: a crash is a line with a reason
        return stopped(error)
    return Done()
