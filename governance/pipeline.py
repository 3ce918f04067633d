"""The one pipeline: acquire → inspect → evaluate → decide → record. Nothing else knows the order.

A plug-in's crash is a check with a reason, never a lost audit; only ``Cancelled`` ends a run. Finished checks are noted
in the ledger as they come, so an interrupted run is taken over by the next one with the same key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, Protocol, TypeVar

from governance import VERSION
from governance.context import Progress, RunContext, Stopwatch
from governance.contracts import Evaluator, Ledger, Plugin, Policy, Said, Scanner, Source
from governance.dossier import Dossier
from governance.errors import Cancelled, LimitError, PluginError, PrerequisiteError
from governance.evidence import Check, Coverage, Fact, Finding, Measurement, Outcome, Reached
from governance.subject import Composition, CompositionRef, canonical_digest
from governance.verdict import Scorecard

Step = Literal["inspect", "evaluate"]
P = TypeVar("P", bound=Plugin)
Known = Mapping[str, tuple[Check, Sequence[Fact]]]

#: Libraries whose version changes what is measured or found.
_RECORDED = ("torch", "transformers", "peft", "bitsandbytes", "lm-eval", "safetensors", "modelscan", "cel-expr-python")


def audit(
    ref: CompositionRef,
    *,
    source: Source,
    scanners: Mapping[str, Scanner],
    evaluators: Mapping[str, Evaluator],
    policy: Policy,
    ledger: Ledger,
    ctx: RunContext,
) -> Scorecard:
    """Audit one composition and record the scorecard.

    Args:
        ref: What was asked for.
        source: Pins and fetches it.
        scanners: By id; asked in id order.
        evaluators: By id; asked in id order.
        policy: Judges.
        ledger: Remembers.
        ctx: Everything handed down.

    Returns:
        The recorded scorecard.

    Raises:
        SubjectError: The reference cannot be acquired.
        Cancelled: The caller ended the run.
    """
    watch = Stopwatch()
    _say(ctx, "acquire", message=str(ref.adapter))
    composition = source.acquire(ref, ctx)
    settings = _settings(ctx, policy)
    plugins: dict[str, Plugin] = {**scanners, **evaluators}
    known = ledger.begin(ctx.run_id, _key(composition.digest, settings, plugins), settings)
    dossier = Dossier(composition=composition)
    gather = _Gatherer(ledger=ledger, ctx=ctx, known=known)
    try:
        dossier = gather(dossier, "inspect", scanners, lambda p: p.scan(composition, ctx))
        stop = policy.stop_before_evaluation(dossier, on=ctx.on, intent=ctx.intent) if evaluators else None
        dossier = gather(dossier, "evaluate", evaluators, lambda p: p.measure(composition, ctx), skip=stop)
        _say(ctx, "decide", message=policy.id)
        card = Scorecard(
            run_id=ctx.run_id,
            created=ctx.on,
            curator_version=VERSION,
            settings=settings,
            versions=versions(),
            seconds=watch.seconds,
            dossier=dossier,
            verdict=policy.decide(dossier, on=ctx.on, intent=ctx.intent),
        )
        _say(ctx, "record", message=card.verdict.decision.value)
        ledger.record(card)
    except Cancelled:
        ledger.fail(ctx.run_id, "cancelled")
        raise
    return card


def inspect(composition: Composition, scanners: Mapping[str, Scanner], ctx: RunContext) -> Dossier:
    """Ask every scanner and judge nothing: what a scan or a triage needs. Nothing is recorded.

    Args:
        composition: Pinned, or held where it lies.
        scanners: By id; asked in id order.
        ctx: Everything handed down.

    Returns:
        A dossier with one check for each scanner.

    Raises:
        Cancelled: The caller ended it.
    """
    gather = _Gatherer(ledger=_Unrecorded(), ctx=ctx, known={})
    return gather(Dossier(composition=composition), "inspect", scanners, lambda p: p.scan(composition, ctx))


def measure(composition: Composition, evaluators: Mapping[str, Evaluator], ctx: RunContext) -> Dossier:
    """Ask every evaluator and judge nothing: what an evaluation without a verdict needs. Item rows are kept, checks are not.

    Args:
        composition: Pinned and fetched.
        evaluators: By id; asked in id order.
        ctx: Everything handed down.

    Returns:
        A dossier with one check for each evaluator.

    Raises:
        Cancelled: The caller ended it.
    """
    gather = _Gatherer(ledger=_Unrecorded(), ctx=ctx, known={})
    return gather(Dossier(composition=composition), "evaluate", evaluators, lambda p: p.measure(composition, ctx))


class _Notebook(Protocol):
    """What keeps finished checks."""

    def conclude(self, run_id: str, check: Check, facts: Sequence[Fact]) -> None:
        """Note one finished check."""


class _Unrecorded:
    """Keeps nothing."""

    def conclude(self, run_id: str, check: Check, facts: Sequence[Fact]) -> None:
        """Forget it."""


@dataclass(frozen=True)
class _Gatherer:
    """Asks plug-ins one after the other and keeps what they say."""

    ledger: _Notebook
    ctx: RunContext
    known: Known

    def __call__(
        self,
        dossier: Dossier,
        step: Step,
        plugins: Mapping[str, P],
        ask: Callable[[P], Iterator[Said]],
        *,
        skip: str | None = None,
    ) -> Dossier:
        """Return the dossier with one check for each plug-in."""
        for done, plugin in enumerate(plugins.values()):
            self.ctx.checkpoint()
            _say(self.ctx, step, item=plugin.id, done=done, total=len(plugins))
            check, facts = self._one(dossier, step, plugin, ask, skip)
            dossier = dossier.plus(check, facts)
        _say(self.ctx, step, done=len(plugins), total=len(plugins))
        return dossier

    def _one(
        self,
        dossier: Dossier,
        step: Step,
        plugin: P,
        ask: Callable[[P], Iterator[Said]],
        skip: str | None,
    ) -> tuple[Check, Sequence[Fact]]:
        if plugin.id in self.known:
            check, facts = self.known[plugin.id]
            check = check.model_copy(update={"reused": True})
        elif skip is not None:
            check, facts = _check(plugin, step, Outcome.SKIPPED, skip), []
        elif not plugin.wants(dossier.composition):
            check, facts = _check(plugin, step, Outcome.NOT_APPLICABLE, "nothing of its kind in this composition"), []
        else:
            check, facts = _exhaust(plugin, step, lambda: ask(plugin))
        self.ledger.conclude(self.ctx.run_id, check, facts)
        return check, facts


def _exhaust(plugin: Plugin, step: Step, start: Callable[[], Iterator[Said]]) -> tuple[Check, list[Fact]]:
    """Run one plug-in to its end, whatever the end is; what it had said stays."""
    watch, facts, coverage, isolation = Stopwatch(), list[Fact](), list[Coverage](), ""
    declared = {d.id for d in plugin.declares}
    outcome, reason = Outcome.COMPLETED, ""
    try:
        for said in start():
            match said:
                case Coverage():
                    coverage.append(said)
                case Reached(isolation=isolation):
                    pass
                case _:
                    _assert_declared(plugin, declared, said)
                    facts.append(said)
    except Cancelled:
        raise
    except (TimeoutError, LimitError) as error:
        outcome, reason = Outcome.TIMED_OUT if isinstance(error, TimeoutError) else Outcome.FAILED, str(error)
    except PrerequisiteError as error:
        outcome, reason = Outcome.SKIPPED, " — ".join(filter(None, (error.message, error.hint)))
    except Exception as error:  # noqa: BLE001 - the one place: a crash is a check with a reason
        outcome, reason = Outcome.FAILED, str(error) or type(error).__name__
    if outcome is Outcome.COMPLETED:
        outcome, reason = _reach(coverage)
    check = _check(plugin, step, outcome, reason)
    return check.model_copy(update={"coverage": tuple(coverage), "isolation": isolation, "seconds": watch.seconds}), facts


def _assert_declared(plugin: Plugin, declared: set[str], fact: Fact) -> None:
    said = {Finding: "rule", Measurement: "metric"}.get(type(fact))
    if said is not None and getattr(fact, said) not in declared:
        raise PluginError(f"{plugin.id} spoke of {said} {getattr(fact, said)!r}, which it does not declare")


def _reach(coverage: Sequence[Coverage]) -> tuple[Outcome, str]:
    """Return how far a plug-in that ended by itself got, from what it says it covered."""
    gaps = [c for c in coverage if not c.outcome.checked]
    if gaps:
        shown = "; ".join(f"{c.item}: {c.reason or c.outcome.value}" for c in gaps[:3])
        return Outcome.PARTIAL, shown + (f"; and {len(gaps) - 3} more" if len(gaps) > 3 else "")
    if coverage and all(c.outcome is Outcome.NOT_APPLICABLE for c in coverage):
        return Outcome.NOT_APPLICABLE, coverage[0].reason
    return Outcome.COMPLETED, ""


def _check(plugin: Plugin, step: Step, outcome: Outcome, reason: str) -> Check:
    return Check(id=plugin.id, version=plugin.version, step=step, outcome=outcome, reason=reason)


def _settings(ctx: RunContext, policy: Policy) -> dict[str, str]:
    """Return what shapes the result, as text; digests stand for documents."""
    terms = {k: t.model_dump(mode="json") for k, t in sorted(ctx.license_terms.items())}
    return {
        "policy": f"{policy.id}@sha256:{policy.digest}",
        "seed": str(ctx.seed),
        "limits": ctx.limits.model_dump_json(),
        "evaluation": ctx.evaluation.model_dump_json(),
        "intent": ctx.intent.model_dump_json(exclude_none=True),
        "margins": ", ".join(f"{k}={v:g}" for k, v in sorted(ctx.margins.items())),
        "license-table": f"sha256:{canonical_digest(terms)}",
    }


def _key(composition: str, settings: Mapping[str, str], plugins: Mapping[str, Plugin]) -> str:
    """Return what makes two runs the same audit."""
    return canonical_digest([composition, VERSION, dict(settings), sorted((p.id, p.version) for p in plugins.values())])


def versions() -> dict[str, str]:
    """Return the installed libraries whose version changes what is measured or found."""
    found: dict[str, str] = {}
    for name in _RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _say(ctx: RunContext, step: str, *, item: str = "", done: int = 0, total: int | None = None, message: str = "") -> None:
    ctx.emit(Progress(run_id=ctx.run_id, step=step, item=item, done=done, total=total, message=message))
