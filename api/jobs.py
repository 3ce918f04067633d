"""A bounded queue of audits and one worker: there is one device. Progress goes out to whoever listens.

What is queued and running is kept here for as long as the service lives; what was decided is in the ledger.
"""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from governance.context import EvaluationSettings, Progress, new_run_id
from governance.errors import Cancelled, CuratorError
from governance.licensing import Intent
from governance.subject import CompositionRef, Noun, canonical_digest
from governance.verdict import Scorecard


class State(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    RECORDED = "recorded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in (State.RECORDED, State.FAILED, State.CANCELLED)


class AuditRequest(Noun):
    """One audit as asked for."""

    ref: CompositionRef
    policy: str | None = None
    intent: Intent = Intent()
    evaluation: EvaluationSettings = EvaluationSettings()
    inspect_only: bool = False

    @property
    def key(self) -> str:
        """Equal for requests that would give the same audit."""
        return canonical_digest(self.model_dump(mode="json"))


class Event(Noun):
    """One thing that happened to a job; ``id`` counts from 1 for each job."""

    id: int
    type: str
    data: dict[str, object] = {}


class QueueFull(Exception):  # noqa: N818 - an answer, not a fault
    """No more audits are taken for now."""


class Auditor(Protocol):
    """What the jobs need of ``api.curator.Curator``."""

    def run(self, request: AuditRequest, job: Job) -> Scorecard:
        """Audit; report to the job, and stop when it says so."""


@dataclass
class Job:
    """One audit on its way."""

    run_id: str
    request: AuditRequest
    state: State = State.QUEUED
    events: list[Event] = field(default_factory=list)
    error: CuratorError | None = None
    progress: Progress | None = None
    _cancelled: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def emit(self, progress: Progress) -> None:
        """Take one sign of life."""
        self.progress = progress
        self._say("progress", progress.model_dump(mode="json", exclude={"kind"}))

    def checkpoint(self) -> None:
        """Raise ``Cancelled`` if somebody asked for the end.

        Raises:
            Cancelled: The job was cancelled.
        """
        if self._cancelled.is_set():
            raise Cancelled("cancelled on request")

    def cancel(self) -> None:
        """Ask for the end; it comes at the next checkpoint."""
        self._cancelled.set()

    def turn(self, state: State, error: CuratorError | None = None) -> None:
        """Go to another state."""
        self.state, self.error = state, error
        self._say("state", {"state": state.value} | ({"detail": error.message, "hint": error.hint} if error else {}))

    def follow(self, after: int, *, patience: float) -> Iterator[Event | None]:
        """Yield events after an id as they come, until the job has ended; None whenever nothing came for a while.

        Args:
            after: The last event seen, 0 for all.
            patience: Seconds to wait before yielding None.
        """
        while True:
            with self._changed:
                new = self.events[after:]
                ended = self.state.ended
                if not new and not ended:
                    self._changed.wait(patience)
                    new, ended = self.events[after:], self.state.ended
            yield from new
            after += len(new)
            if ended and after >= len(self.events):
                return
            if not new:
                yield None

    def _say(self, kind: str, data: dict[str, object]) -> None:
        with self._changed:
            self.events.append(Event(id=len(self.events) + 1, type=kind, data=data))
            self._changed.notify_all()


class Jobs:
    """The queue.

    Args:
        auditor: Does the work.
        depth: Most audits waiting.
        remembered: Ended jobs whose events are still served.
    """

    def __init__(self, auditor: Auditor, *, depth: int = 100, remembered: int = 200) -> None:
        self._auditor, self._remembered = auditor, remembered
        self._waiting: queue.Queue[Job | None] = queue.Queue(maxsize=depth)
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()
        self._worker = threading.Thread(target=self._work, name="audits", daemon=True)
        self._worker.start()

    def submit(self, request: AuditRequest) -> tuple[Job, bool]:
        """Queue an audit, or return the live job that is the same audit.

        Args:
            request: What is asked for.

        Returns:
            The job, and whether it is new.

        Raises:
            QueueFull: Too many are waiting.
        """
        with self._lock:
            for job in self._jobs.values():
                if not job.state.ended and job.request.key == request.key:
                    return job, False
            job = Job(run_id=new_run_id(), request=request)
            try:
                self._waiting.put_nowait(job)
            except queue.Full as error:
                raise QueueFull from error
            job.turn(State.QUEUED)
            self._jobs[job.run_id] = job
            self._forget()
        return job, True

    def get(self, run_id: str) -> Job | None:
        """Return a job of this service's life, or None."""
        return self._jobs.get(run_id)

    def all(self) -> tuple[Job, ...]:
        """Return the jobs of this service's life, newest first."""
        return tuple(reversed(self._jobs.values()))

    def close(self) -> None:
        """Cancel what is running and end the worker."""
        for job in self.all():
            if not job.state.ended:
                job.cancel()
        self._waiting.put(None)
        self._worker.join(timeout=30)

    def _forget(self) -> None:
        ended = [k for k, j in self._jobs.items() if j.state.ended]
        for key in ended[: max(0, len(ended) - self._remembered)]:
            del self._jobs[key]

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            try:
                job.checkpoint()
                job.turn(State.RUNNING)
                self._auditor.run(job.request, job)
            except Cancelled:
                job.turn(State.CANCELLED)
            except CuratorError as error:
                job.turn(State.FAILED, error)
            except Exception as error:  # noqa: BLE001 - the worker outlives a bug, and the job says what it was
                job.turn(
                    State.FAILED,
                    CuratorError(f"the curator failed: {type(error).__name__}: {error}", hint="this is a bug; please report it"),
                )
            else:
                job.turn(State.RECORDED)
