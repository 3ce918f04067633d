"""What travels between the curator and a child process: one job as JSON in, JSON lines out.

The parent side is ``governance.isolation``; the child's entry points (``scanners._child``, ``evaluators._runtime.worker``)
call ``serve``. Every line is validated on arrival: a child that parsed hostile bytes may lie about its subject, and can
do nothing else.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from pydantic import Field, TypeAdapter

from governance.context import EvaluationSettings, Limits, Progress, RunContext
from governance.contracts import Said
from governance.errors import LimitError, PrerequisiteError
from governance.evidence import Component, Coverage, Finding, ItemRow, Measurement, Reached
from governance.licensing import Intent, LicenseTerms
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


Line = Progress | ItemRow | Finding | Measurement | Component | Coverage | Reached | Described | Done | Stopped
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
    )


def serve(handler: Handler, *, isolation: str) -> None:
    """Answer jobs from standard input until it closes. Called once, by a child's entry point.

    Args:
        handler: Does the work; its exceptions become ``Stopped`` lines.
        isolation: What this process was cut off from, told with each job.
    """
    with os.fdopen(int(os.environ[LINES_FD]), "wb", buffering=0) as out:  # noqa: TID251 - the pipe's number is no setting
        threading.Thread(target=_end_with_reader, args=(out.fileno(),), daemon=True).start()
        for text in sys.stdin.buffer:
            job = Job.model_validate_json(text)
            _write(out, Reached(isolation=isolation))
            _write(out, _answer(handler, job, out))


def _end_with_reader(fd: int) -> None:
    """End this process once nobody reads its lines: the curator was killed, and a long job would never notice."""
    watch = select.poll()
    watch.register(fd, select.POLLERR)
    watch.poll()
    os._exit(1)


def _answer(handler: Handler, job: Job, out: BinaryIO) -> Done | Stopped:
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
        emit=lambda progress: _write(out, progress),
        keep=lambda row: _write(out, row),
    )
    try:
        for said in handler(job, ctx):
            _write(out, Described(description=said) if isinstance(said, Description) else said)
    except PrerequisiteError as error:
        return Stopped(reason=error.message, outcome="skipped", hint=error.hint)
    except TimeoutError as error:
        return Stopped(reason=str(error), outcome="timed-out")
    except LimitError as error:
        return Stopped(reason=error.message, outcome="limit", hint=error.hint)
    except Exception as error:  # noqa: BLE001 - the child's twin of the pipeline's rule: a crash is a line with a reason
        return Stopped(reason=f"{type(error).__name__}: {error}"[:2000])
    return Done()


def _write(out: BinaryIO, line: Line) -> None:
    data = memoryview(line.model_dump_json().encode() + b"\n")
    while data:
        data = data[out.write(data) :]
