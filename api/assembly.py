"""What every run of this installation starts with: its context, what runs its plug-ins, and where its subjects come from.

The one home of ``RunContext`` outside children. Used by audits, scans, triages, license checks and evaluations; what only an
evaluation needs is imported where it is used, because a scan takes about as long as its imports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from api.executors.isolated import Planned
from api.executors.local import LocalExecutor
from api.settings import Settings
from governance.context import Progress, RunContext, new_run_id, utc_now
from governance.contracts import Describe, Evaluator, Scanner
from governance.errors import LimitError, PrerequisiteError, SubjectError
from governance.hub import Acquirer
from governance.store import Store


class Executor(Protocol):
    """Runs plug-ins somewhere else than in this process."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End every process it started."""

    def describe(self) -> Describe:
        """Return what reads a repository's words."""

    def scanners(self, plugins: Mapping[str, Scanner]) -> Mapping[str, Scanner]:
        """Return the scanners by proxy."""

    def evaluators(self, plugins: Mapping[str, Evaluator]) -> Mapping[str, Evaluator]:
        """Return the evaluators by proxy."""

    def ahead(self, planned: Planned) -> None:
        """Measure many compositions at once where that is faster than one after the other.

        Args:
            planned: What is going to be asked for.

        Raises:
            PrerequisiteError: There is no cluster, or it cannot be used.
            Cancelled: The caller ended it.
        """


def run_context(
    settings: Settings,
    *,
    run_id: str | None = None,
    emit: Callable[[Progress], None] = lambda _: None,
    checkpoint: Callable[[], None] = lambda: None,
) -> RunContext:
    """Return what is handed down to every step of a run; what only some runs need is added with ``dataclasses.replace``.

    Args:
        settings: Of the installation.
        run_id: An id handed out before; None: a new one.
        emit: Takes progress.
        checkpoint: Called often; raises ``Cancelled`` to end the run.

    Raises:
        PrerequisiteError: A trusted publisher's key cannot be read.
    """
    return RunContext(
        run_id=run_id or new_run_id(),
        on=utc_now(),
        store=Store(settings.folder / "store"),
        seed=settings.seed,
        limits=settings.limits,
        trusted_publishers=settings.publishers(),
        emit=emit,
        checkpoint=checkpoint,
    )


def local_executor(settings: Settings, *, readable: tuple[Path, ...] = ()) -> LocalExecutor:
    """Return the default executor.

    Args:
        settings: Isolation, and the folder for logs.
        readable: What the inspection child may read beside the store.
    """
    return LocalExecutor(settings.folder / "logs", unsafe=settings.isolation == "unsafe-none", readable=readable)


def executor(settings: Settings) -> Executor:
    """Return what runs the evaluators.

    Args:
        settings: Isolation, the folder for logs, and where: this machine's own processes, or a cluster, which is started or
            joined when the first evaluator is asked.
    """
    if settings.executor == "local":
        return local_executor(settings)
    from api.executors.ray import RayExecutor

    return RayExecutor(
        settings.folder / "logs",
        unsafe=settings.isolation == "unsafe-none",
        actors=settings.ray_actors,
        address=settings.ray_address,
        resource=settings.ray_resource,
    )


def source(
    settings: Settings,
    describe: Describe,
    *,
    base_weights: bool = True,
    documents_only: bool = False,
    lineage: bool = True,
    backoff: float = 0.5,
) -> Acquirer:
    """Return what pins and fetches subjects, with the installation's Hub and token.

    Args:
        settings: Endpoint, token, whether any connection is opened.
        describe: Reads a repository's own words, in a child.
        base_weights: As in ``Acquirer``.
        documents_only: As in ``Acquirer``.
        lineage: As in ``Acquirer``.
        backoff: As in ``Acquirer``.
    """
    return Acquirer(
        describe=describe,
        endpoint=settings.endpoint,
        token=settings.token.get_secret_value() if settings.token else None,
        offline=settings.offline,
        base_weights=base_weights,
        documents_only=documents_only,
        lineage=lineage,
        backoff=backoff,
    )


def with_task_data(ctx: RunContext, source: Acquirer) -> RunContext:
    """Return the context with the data sets of the lm-eval tasks that were asked for by name; a child could not fetch them.

    Raises:
        SubjectError: A data set is missing, closed, or on a Hub that is not asked.
    """
    from evaluators._items.catalog import hub_datasets
    from evaluators._items.suites import hub_tasks

    wanted = hub_tasks(ctx.evaluation)
    if not wanted:
        return ctx
    named = {dataset for dataset, _ in hub_datasets(ctx.evaluation.tasks).values()}
    folders = {}
    for name in sorted({dataset for dataset, _ in hub_datasets(wanted).values()}):
        try:
            folders[name] = source.fetch_dataset(name, None, ctx)
        except (SubjectError, LimitError, PrerequisiteError):
            if name in named:  # what only the suite names may be missing: its tasks then say so
                raise
    return replace(ctx, evaluation=ctx.evaluation.model_copy(update={"task_data": folders}))
