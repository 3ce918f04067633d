"""The composition root: plug-ins, ledger, source and executor, put together once.

The command line and the HTTP service call the same methods.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self

import structlog

import evaluators
import reports
import scanners
from api.assembly import Executor, executor, run_context, source, with_task_data
from api.settings import Settings
from evaluators._items.suites import settled
from governance.context import EvaluationSettings, Progress, RunContext, utc_now
from governance.contracts import Evaluator, ReportFormat, Scanner, Source, Voice
from governance.errors import PolicyError, SubjectError
from governance.ledger import Ledger
from governance.licensing import Intent
from governance.pipeline import audit
from governance.plugins import discover
from governance.store import Store
from governance.subject import Composition, CompositionRef
from governance.verdict import Scorecard
from policies.document import Vocabulary
from policies.licenses import license_table
from policies.loader import LoadedPolicy, load, load_recorded

Stage = Literal["inspect", "all"]

#: Kind of the event that keeps a policy.
_POLICY = "policy.kept"


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
        ctx = self._context(judge, intent or Intent(), evaluation or EvaluationSettings(), run_id, emit, checkpoint)
        with executor(self.settings) as running:
            acquirer = source(self.settings, running.describe())
            return self._audited(ref, acquirer, judge, with_task_data(ctx, acquirer), running, stage)

    def verdict(
        self,
        ref: CompositionRef,
        judge: LoadedPolicy,
        *,
        intent: Intent,
        evaluation: EvaluationSettings,
        reuse: bool,
        emit: Callable[[Progress], None],
        checkpoint: Callable[[], None],
    ) -> tuple[Scorecard, bool]:
        """Return a verdict on a composition: the one on record if it still holds, else one of a new audit.

        A recorded verdict holds for the same composition, policy, intent and evaluation, while it is younger than the policy's
        ``maxEvidenceAge``.

        Args:
            ref: What to judge.
            judge: Its judge.
            intent: What the asker wants to do with it.
            evaluation: What is measured.
            reuse: Whether the record is asked at all.
            emit: Takes progress.
            checkpoint: Called often; raises ``Cancelled``.

        Returns:
            The scorecard, and whether it was on record.

        Raises:
            CuratorError: There is no verdict.
        """
        ctx = self._context(judge, intent, evaluation, None, emit, checkpoint)
        with executor(self.settings) as running:
            acquirer = source(self.settings, running.describe())
            ctx = with_task_data(ctx, acquirer)
            if not reuse:
                return self._audited(ref, acquirer, judge, ctx, running, "all"), False
            composition = acquirer.acquire(ref, ctx)
            found = self.ledger.latest_on(composition.digest, policy_digest=judge.digest)
            if found is not None and _holds(found, judge, ctx, self.evaluators):
                return found, True
            return self._audited(ref, _Acquired(composition), judge, ctx, running, "all"), False

    def _audited(
        self, ref: CompositionRef, acquirer: Source, judge: LoadedPolicy, ctx: RunContext, running: Executor, stage: Stage
    ) -> Scorecard:
        """Audit and record; the policy is kept beside its verdict."""
        self._remember(judge)
        log = self._log.bind(run_id=ctx.run_id, adapter=str(ref.adapter))
        log.info("audit.started", policy=judge.id)
        card = audit(
            ref,
            source=acquirer,
            scanners=running.scanners(self.scanners),
            evaluators=running.evaluators(self.evaluators) if stage == "all" else {},
            policy=judge,
            ledger=self.ledger,
            ctx=ctx,
        )
        log.info("audit.recorded", decision=card.verdict.decision.value, seconds=card.seconds)
        return card

    def recorded_policy(self, digest: str) -> LoadedPolicy:
        """Return the policy a verdict cites, as the ledger keeps it.

        Args:
            digest: SHA-256 of the resolved document.

        Raises:
            PolicyError: It is not in this ledger, or speaks of what this version of the curator no longer knows.
        """
        kept = next((e for e in self.ledger.events(entity=digest, limit=1) if e.kind == _POLICY), None)
        if kept is None:
            raise PolicyError(
                f"the policy sha256:{digest[:12]}… is not in this ledger",
                hint="name the file with --policy; its digest must be equal",
            )
        return load_recorded(str(kept.payload["document"]), vocabulary(self._known, self.evaluators))

    def _context(
        self,
        judge: LoadedPolicy,
        intent: Intent,
        evaluation: EvaluationSettings,
        run_id: str | None,
        emit: Callable[[Progress], None],
        checkpoint: Callable[[], None],
    ) -> RunContext:
        return replace(
            run_context(self.settings, run_id=run_id, emit=emit, checkpoint=checkpoint),
            evaluation=settled(evaluation),
            license_terms=license_table(),
            intent=intent,
            margins=judge.margins,
            keep=self.store.keep,
        )

    def _remember(self, policy: LoadedPolicy) -> None:
        """Keep the resolved policy, once, so that its verdicts can be replayed when the file is gone."""
        if not self.ledger.events(entity=policy.digest, limit=1):
            self.ledger.note(_POLICY, policy.digest, {"name": policy.id, "version": policy.version, "document": policy.recorded})

    def render(self, card: Scorecard, format_id: str) -> bytes:
        """Return a recorded scorecard as a document.

        Raises:
            SubjectError: There is no such format.
        """
        if format_id not in self.formats:
            raise SubjectError(f"there is no report format {format_id!r}", hint="one of: " + ", ".join(self.formats))
        return self.formats[format_id].render(card)


@dataclass(frozen=True)
class _Acquired:
    """A composition that is at hand, as a source."""

    composition: Composition

    def acquire(self, ref: CompositionRef, ctx: RunContext) -> Composition:
        """Return it."""
        return self.composition


def _holds(card: Scorecard, judge: LoadedPolicy, ctx: RunContext, evaluators: Collection[str]) -> bool:
    """Return whether a recorded verdict still answers what is asked now; one of an audit that loaded no model does not."""
    asked = {"intent": ctx.intent.model_dump_json(exclude_none=True), "evaluation": ctx.evaluation.model_dump_json()}
    young = ctx.on - card.created <= judge.document.spec.evidence_age
    whole = all(card.dossier.check(plugin) is not None for plugin in evaluators)
    return young and whole and all(card.settings.get(k) == v for k, v in asked.items())


def _silent(plugin: Scanner, voices: Collection[str]) -> bool:
    """Return whether a scanner asks another engine that is not switched on."""
    return isinstance(plugin, Voice) and plugin.engine not in voices


def vocabulary(scanners: Mapping[str, Scanner], evaluators: Mapping[str, Evaluator]) -> Vocabulary:
    """Return the words a policy may use: plug-ins, their rules and metrics."""
    return Vocabulary.of(inspect=scanners.values(), evaluate=evaluators.values())
