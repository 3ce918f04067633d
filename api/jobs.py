"""Runs waiting for the device, one at a time: bounded queue, last sign of life, cancellation, recovery after a restart.

States are events in the ledger (queued → claimed → recorded, failed, cancelled or lost); ticks stay in memory and only
the last is kept. The HTTP service submits and asks; the pipeline reports through what it is handed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Literal, Protocol

import structlog
from pydantic import Field

from governance.context import EvaluationSettings, Progress, new_run_id
from governance.errors import Cancelled, CuratorError, LedgerError
from governance.ledger import Ledger, RunState
from governance.licensing import Intent
from governance.subject import CompositionRef, Noun, canonical_digest
from governance.verdict import Scorecard

#: Ended runs whose last words stay in memory, in case the ledger could not take them.
_REMEMBERED = 200


class Request(Noun):
    """What a run was asked to do. Two live runs with equal requests are the same run."""

    ref: CompositionRef
    policy: str | None = Field(default=None, description="a shipped policy's name; None: the installation's")
    intent: Intent = Intent()
    evaluation: EvaluationSettings = EvaluationSettings()
    stage: Literal["inspect", "all"] = "all"


class Auditor(Protocol):
    """Makes a scorecard; ``api.curator.Curator`` does."""

    def audit(
        self,
        ref: CompositionRef,
        *,
        policy: str | None,
        intent: Intent | None,
        evaluation: EvaluationSettings | None,
        stage: Literal["inspect", "all"],
        run_id: str | None,
        emit: Callable[[Progress], None],
        checkpoint: Callable[[], None],
    ) -> Scorecard:
        """Audit one composition and record the scorecard."""


class QueueFullError(CuratorError):
    """No run is taken now."""


class Job:
    """One run that this process was asked for.

    Args:
        run_id: Its id.
        request: What it was asked to do.
    """

    def __init__(self, run_id: str, request: Request) -> None:
        self.run_id, self.request = run_id, request
        self.key = canonical_digest(request.model_dump(mode="json"))
        self.state = RunState.QUEUED
        self.progress: Progress | None = None
        self.error: CuratorError | None = None
        #: Grows with everything that happens; whoever watches compares.
        self.ticks = 0
        self._cancel = threading.Event()

    @property
    def cancelling(self) -> bool:
        """Whether it was asked to end."""
        return self._cancel.is_set()

    def emit(self, progress: Progress) -> None:
        """Take one sign of life."""
        self.progress = progress
        self.ticks += 1

    def ask_to_end(self) -> None:
        """End at the next checkpoint."""
        self._cancel.set()
        self.ticks += 1

    def checkpoint(self) -> None:
        """Raise if it was asked to end.

        Raises:
            Cancelled: Finished checks are noted; the same request later takes them over.
        """
        if self._cancel.is_set():
            raise Cancelled("cancelled on request", hint="ask for the same audit again: finished checks are reused")


class Jobs:
    """The queue and its one worker.

    Args:
        auditor: Does the work.
        ledger: Where states are noted.
        capacity: Most runs waiting or at work.
    """

    def __init__(self, auditor: Auditor, ledger: Ledger, *, capacity: int = 32) -> None:
        self._auditor, self._ledger, self._capacity = auditor, ledger, capacity
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}
        self._futures: dict[str, Future[Scorecard]] = {}
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit")
        self._open = True
        self._log = structlog.get_logger()
        #: Runs that an earlier process left unended; noted as lost, taken over when asked for again.
        self.lost = ledger.interrupt_unended()

    @property
    def accepting(self) -> bool:
        """Whether another run would be taken."""
        return self._open and len(self._futures) < self._capacity

    def submit(self, request: Request) -> tuple[Job, bool]:
        """Queue a run, unless the same one is queued or at work already.

        Args:
            request: What to do.

        Returns:
            The job, and whether it is new.

        Raises:
            QueueFullError: Too many wait, or the service is stopping.
            LedgerError: The run cannot be noted.
        """
        job = Job(new_run_id(), request)
        with self._lock:
            for run_id in self._futures:
                if self._jobs[run_id].key == job.key and not self._jobs[run_id].cancelling:
                    return self._jobs[run_id], False
            if not self.accepting:
                raise QueueFullError("the queue is full" if self._open else "the service is stopping", hint="try again in a minute")
            self._ledger.note("run.queued", job.run_id, request.model_dump(mode="json", exclude_defaults=True), actor="api")
            self._forget_old()
            self._jobs[job.run_id] = job
            future = self._futures[job.run_id] = self._worker.submit(self._work, job)
        future.add_done_callback(partial(self._settle, job))
        return job, True

    def get(self, run_id: str) -> Job | None:
        """Return a job of this process, at work or lately ended."""
        return self._jobs.get(run_id)

    def ahead_of(self, run_id: str) -> int:
        """Return how many runs are before this one."""
        live = list(self._futures)
        return live.index(run_id) if run_id in live else 0

    def cancel(self, job: Job, *, actor: str = "api") -> None:
        """Ask a run to end; one that waits ends at once, one at work at its next checkpoint."""
        with self._lock:
            future = self._futures.get(job.run_id)
            if future is None or job.cancelling:
                return
            self._ledger.note("cancellation.requested", job.run_id, {}, actor=actor)
            job.ask_to_end()
        future.cancel()

    def close(self) -> None:
        """End every run and the worker; what is finished is in the ledger."""
        with self._lock:
            self._open = False
            for run_id in self._futures:
                self._jobs[run_id].ask_to_end()
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _work(self, job: Job) -> Scorecard:
        job.checkpoint()
        self._ledger.note("run.claimed", job.run_id, {}, actor="api")
        job.state = RunState.RUNNING
        job.ticks += 1
        asked = job.request
        return self._auditor.audit(
            asked.ref,
            policy=asked.policy,
            intent=asked.intent,
            evaluation=asked.evaluation,
            stage=asked.stage,
            run_id=job.run_id,
            emit=job.emit,
            checkpoint=job.checkpoint,
        )

    def _settle(self, job: Job, future: Future[Scorecard]) -> None:
        """Note how a run ended, unless the pipeline has."""
        error = Cancelled("cancelled on request") if future.cancelled() else future.exception()
        state = RunState.RECORDED
        if error is not None:
            state = RunState.CANCELLED if isinstance(error, Cancelled) else RunState.FAILED
            job.error = error if isinstance(error, CuratorError) else _fault(error)
        try:
            if error is not None:
                self._note_end(job, state, error)
        finally:  # a log or a ledger that cannot be written leaves no run that seems to go on
            with self._lock:
                self._futures.pop(job.run_id, None)
            job.state = state
            job.ticks += 1

    def _note_end(self, job: Job, state: RunState, error: BaseException) -> None:
        said = job.error or _fault(error)
        if said is not error:
            self._log.error("run.crashed", run_id=job.run_id, exc_info=error)
        try:
            run = self._ledger.run(job.run_id)
            if run is None or not run.state.ended:
                self._ledger.note(f"run.{state}", job.run_id, {"reason": said.message, "hint": said.hint}, actor="api")
        except LedgerError as trouble:
            self._log.error("run.unnoted", run_id=job.run_id, reason=trouble.message)

    def _forget_old(self) -> None:
        ended = [run_id for run_id in self._jobs if run_id not in self._futures]
        for run_id in ended[: max(0, len(ended) - _REMEMBERED)]:
            del self._jobs[run_id]


def _fault(error: BaseException) -> CuratorError:
    """Return what a reader is told of a fault of the curator's own; the log has the rest."""
    return CuratorError(
        f"the curator failed ({type(error).__name__})", hint="a fault of the curator, not of the subject; see the server's log"
    )
