"""The composition root: plug-ins, ledger, source and executor, put together once.

The command line and the HTTP service call the same methods.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Literal, Self

import structlog

import evaluators
import reports
import scanners
from api.executors.local import LocalExecutor
from api.settings import Settings
from evaluators._items.catalog import hub_datasets
from evaluators._items.suites import hub_tasks, settled
from governance.context import EvaluationSettings, Progress, RunContext, new_run_id, utc_now
from governance.contracts import Evaluator, ReportFormat, Scanner, Voice
from governance.errors import LimitError, PrerequisiteError, SubjectError
from governance.hub import Acquirer
from governance.ledger import Ledger
from governance.licensing import Intent
from governance.pipeline import audit
from governance.plugins import discover
from governance.store import Store
from governance.subject import CompositionRef
from governance.verdict import Scorecard
from policies.document import Vocabulary
from policies.licenses import license_table
from policies.loader import LoadedPolicy, load

Stage = Literal["inspect", "all"]


class Curator:
    """Audits, remembers and reports.

    Args:
        settings: Of the installation.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._known = discover(scanners, Scanner)
        self.scanners = {k: p for k, p in self._known.items() if not _silent(p, settings.voices)}
        self.evaluators = discover(evaluators, Evaluator)
        self.formats: Mapping[str, ReportFormat] = discover(reports, ReportFormat)
        self.store = Store(settings.folder / "store")
        self.ledger = Ledger.open(settings.folder / "ledger.duckdb", now=utc_now)
        self._log = structlog.get_logger()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.ledger.close()

    def policy(self, reference: str) -> LoadedPolicy:
        """Return a checked policy.

        Args:
            reference: A shipped policy's name, or a file.

        Raises:
            PolicyError: It cannot be used; the message names the line.
        """
        return load(reference, vocabulary(self._known, self.evaluators))

    def audit(
        self,
        ref: CompositionRef,
        *,
        policy: str | None = None,
        intent: Intent | None = None,
        evaluation: EvaluationSettings | None = None,
        stage: Stage = "all",
        run_id: str | None = None,
        emit: Callable[[Progress], None] = lambda _: None,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> Scorecard:
        """Audit one composition, in child processes, and record the scorecard.

        Args:
            ref: What to audit.
            policy: Its judge; None: the installation's.
            intent: What the asker wants to do with it.
            evaluation: What is measured.
            stage: ``inspect`` loads no model; what needs one stays unknown.
            run_id: An id handed out before; None: a new one.
            emit: Takes progress.
            checkpoint: Called often; raises ``Cancelled`` to end the run.

        Returns:
            The recorded scorecard.

        Raises:
            CuratorError: There is no verdict; the message and hint say why.
        """
        judge = self.policy(policy or self.settings.policy)
        ctx = RunContext(
            run_id=run_id or new_run_id(),
            on=utc_now(),
            store=self.store,
            seed=self.settings.seed,
            limits=self.settings.limits,
            evaluation=settled(evaluation or EvaluationSettings()),
            license_terms=license_table(),
            intent=intent or Intent(),
            margins=judge.margins,
            trusted_publishers=self.settings.publishers(),
            emit=emit,
            keep=self.store.keep,
            checkpoint=checkpoint,
        )
        log = self._log.bind(run_id=ctx.run_id, adapter=str(ref.adapter))
        log.info("audit.started", policy=judge.id)
        unsafe = self.settings.isolation == "unsafe-none"
        with LocalExecutor(self.settings.folder / "logs", unsafe=unsafe) as executor:
            source = self._source(executor, base_weights=stage == "all")
            ctx = self._with_task_data(ctx, source)
            card = audit(
                ref,
                source=source,
                scanners=executor.scanners(self.scanners),
                evaluators=executor.evaluators(self.evaluators) if stage == "all" else {},
                policy=judge,
                ledger=self.ledger,
                ctx=ctx,
            )
        log.info("audit.recorded", decision=card.verdict.decision.value, seconds=card.seconds)
        return card

    def render(self, card: Scorecard, format_id: str) -> bytes:
        """Return a recorded scorecard as a document.

        Raises:
            SubjectError: There is no such format.
        """
        if format_id not in self.formats:
            raise SubjectError(f"there is no report format {format_id!r}", hint="one of: " + ", ".join(self.formats))
        return self.formats[format_id].render(card)

    def _source(self, executor: LocalExecutor, *, base_weights: bool) -> Acquirer:
        token = self.settings.token.get_secret_value() if self.settings.token else None
        return Acquirer(describe=executor.describe(), endpoint=self.settings.endpoint, token=token, offline=self.settings.offline)

    def _with_task_data(self, ctx: RunContext, source: Acquirer) -> RunContext:
        """Fetch the data sets of lm-eval tasks that were named or belong to the suite; a child could not.

        What was named must come; what only the suite names may be missing, and its tasks then say so.
        """
        wanted = hub_tasks(ctx.evaluation)
        if not wanted:
            return ctx
        folders = {}
        named = {dataset for dataset, _ in hub_datasets(ctx.evaluation.tasks).values()}
        for name in sorted({dataset for dataset, _ in hub_datasets(wanted).values()}):
            try:
                folders[name] = source.fetch_dataset(name, None, ctx)
            except (SubjectError, LimitError, PrerequisiteError) as error:
                if name in named:
                    raise
                self._log.warning("dataset.missing", dataset=name, reason=error.message)
        return replace(ctx, evaluation=ctx.evaluation.model_copy(update={"task_data": folders}))


def _silent(plugin: Scanner, voices: Collection[str]) -> bool:
    """Return whether a scanner asks another engine that is not switched on."""
    return isinstance(plugin, Voice) and plugin.engine not in voices


def vocabulary(scanners: Mapping[str, Scanner], evaluators: Mapping[str, Evaluator]) -> Vocabulary:
    """Return the words a policy may use: plug-ins, their rules and metrics."""
    return Vocabulary.of(inspect=scanners.values(), evaluate=evaluators.values())
