"""An evaluation: adapters side by side, each measured against its base on the same items. No verdict, no ledger.

Put together here for ``curator evaluate``. Evaluators run in the same confined worker as in an audit; it keeps one base and
swaps adapters. Every answered item is kept in the store, so a second call asks only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import evaluators
import scanners
from api.assembly import Executor, executor, run_context, source, with_task_data
from api.references import parse_reference
from api.settings import Settings
from evaluators._items import catalog, suites
from evaluators._items.folder import MANIFEST
from evaluators._items.suites import settled
from governance import VERSION
from governance.context import EvaluationSettings, Progress, RunContext, Stopwatch
from governance.contracts import Evaluator, Scanner
from governance.errors import LimitError, PluginError, SubjectError
from governance.evaluation import Evaluated, EvaluationDocument, Trouble, evaluated
from governance.evidence import ItemRow
from governance.hub import Acquirer
from governance.licensing import Intent
from governance.pipeline import measure, versions
from governance.plugins import discover
from governance.subject import Composition, CompositionRef
from policies.document import Vocabulary
from policies.loader import LoadedPolicy, load

#: Evaluators that are asked by name alone, and why.
_BY_NAME = {"backdoor": "searches for triggers; curator audit asks it, or --only backdoor"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One call.

    Attributes:
        adapters: Folders or Hub names, as typed; shown in this order.
        base: The one base of all of them; None: each adapter's own.
        evaluation: Suite, tasks, data, limit, device.
        domain: Whose skill is measured; None: what each card speaks of.
        only: Evaluators by id; empty: all that measure base against adapter.
        policy: Whose margins are tested at; None: the installation's.
    """

    adapters: tuple[str, ...]
    base: str | None = None
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    domain: str | None = None
    only: tuple[str, ...] = ()
    policy: str | None = None


def evaluate(
    asked: Asked,
    settings: Settings,
    *,
    emit: Callable[[Progress], None] = lambda _: None,
    checkpoint: Callable[[], None] = lambda: None,
) -> EvaluationDocument:
    """Measure adapters against their base.

    Args:
        asked: What to measure; one adapter that cannot be taken in or measured does not stop the others.
        settings: Hub, limits, isolation, seed, policy, and the folder of the store.
        emit: Takes progress; the step ``adapter`` says which one begins.
        checkpoint: Called often; raises ``Cancelled`` to end the evaluation, whose answers stay in the store.

    Returns:
        What was measured, and what was not and why.

    Raises:
        SubjectError: What was asked for does not exist: an evaluator, a task, a folder of data.
        PrerequisiteError: There is no such suite, or something has to be installed first.
        PolicyError: The policy cannot be used.
    """
    watch = Stopwatch()
    every = discover(evaluators, Evaluator)
    plugins, not_asked = chosen(every, asked.only)
    suite = suites.load(asked.evaluation.suite)
    _assert_data(asked.evaluation)
    judge = _policy(asked.policy or settings.policy, every)
    ctx = replace(
        run_context(settings, emit=emit, checkpoint=checkpoint),
        evaluation=settled(asked.evaluation),
        intent=Intent(domain=asked.domain),
        margins=judge.margins,
    )
    with executor(settings) as running:
        acquirer = source(settings, running.describe(), lineage=False)
        ctx = with_task_data(ctx, acquirer)
        taken = [_take(name, asked.base, acquirer, ctx) for name in asked.adapters]
        proxies = running.evaluators(plugins)
        found = dict(_measured(asked.adapters, taken, proxies, running, ctx))
    measurements = [m for one in found.values() for m in one.measurements]
    return EvaluationDocument(
        curator_version=VERSION,
        run_id=ctx.run_id,
        created=ctx.on,
        suite=f"{suite.id} {suite.version}",
        settings=asked.evaluation,
        seed=ctx.seed,
        policy=f"{judge.id}@sha256:{judge.digest}",
        margins=dict(judge.margins),
        asked=tuple(plugins),
        not_asked=not_asked,
        versions=versions(),
        kernel_paths=tuple(dict.fromkeys(m.device for m in measurements if m.device)),
        adapters=tuple(found[place] for place in sorted(found)),
        seconds=watch.seconds,
    )


def chosen(plugins: Mapping[str, Evaluator], only: Collection[str]) -> tuple[dict[str, Evaluator], dict[str, str]]:
    """Return the evaluators to ask, and why each of the others is left out.

    Args:
        plugins: Every evaluator by id.
        only: Ids that are wanted; empty: all but those that are asked by name alone.

    Raises:
        SubjectError: There is no evaluator of that name.
    """
    for name in only:
        if name not in plugins:
            raise SubjectError(f"there is no evaluator {name!r}", hint="one of: " + ", ".join(plugins))
    left = {k: "not among --only" for k in plugins if only and k not in only}
    left |= {k: reason for k, reason in _BY_NAME.items() if k in plugins and not only}
    return {k: p for k, p in plugins.items() if k not in left}, left


def _assert_data(evaluation: EvaluationSettings) -> None:
    """Refuse what no adapter could be measured with, before a model is loaded."""
    for name in evaluation.tasks:
        if catalog.find(name) is None:
            raise SubjectError(f"lm-eval has no single task {name!r}", hint="name the tasks of a group one by one")
    if evaluation.data is not None and not (evaluation.data / MANIFEST).is_file():
        raise SubjectError(
            f"{evaluation.data} holds no {MANIFEST}", hint='it lists the folder\'s files: {"files": [{"file": …, "kind": …}]}'
        )


def _policy(reference: str, every: Mapping[str, Evaluator]) -> LoadedPolicy:
    known = discover(scanners, Scanner)
    return load(reference, Vocabulary.of(inspect=known.values(), evaluate=every.values()))


def _take(name: str, base: str | None, acquirer: Acquirer, ctx: RunContext) -> Composition | Trouble:
    """Return what is to be measured, or why it cannot be had."""
    ctx.checkpoint()
    ctx.emit(Progress(run_id=ctx.run_id, step="acquire", item=name))
    try:
        ref = CompositionRef(adapter=parse_reference(name), base=parse_reference(base) if base else None)
        return acquirer.acquire(ref, ctx)
    except (SubjectError, LimitError, PluginError) as error:
        return Trouble(message=error.message, hint=error.hint)


def _measured(
    names: Sequence[str],
    taken: Sequence[Composition | Trouble],
    proxies: Mapping[str, Evaluator],
    running: Executor,
    ctx: RunContext,
) -> list[tuple[int, Evaluated]]:
    """Return each adapter under its place in the call; those of one base follow each other, so that it is loaded once."""
    found = [(place, Evaluated(asked=names[place], trouble=t)) for place, t in enumerate(taken) if isinstance(t, Trouble)]
    order = [(place, c) for place, c in enumerate(taken) if isinstance(c, Composition)]
    first = {c.base.digest if c.base else "": place for place, c in reversed(order)}
    order.sort(key=lambda one: first[one[1].base.digest if one[1].base else ""])
    fresh: dict[int, list[ItemRow]] = {place: [] for place, _ in order}
    contexts = {place: replace(ctx, keep=partial(_keep, ctx, noted)) for place, noted in fresh.items()}
    running.ahead([(composition, contexts[place]) for place, composition in order])
    for turn, (place, composition) in enumerate(order):
        ctx.emit(Progress(run_id=ctx.run_id, step="adapter", item=names[place], done=turn, total=len(order)))
        found.append((place, _one(names[place], composition, proxies, contexts[place], fresh[place])))
    return found


def _one(
    name: str, composition: Composition, proxies: Mapping[str, Evaluator], ctx: RunContext, fresh: Sequence[ItemRow]
) -> Evaluated:
    watch = Stopwatch()
    dossier = measure(composition, proxies, ctx)
    return evaluated(name, dossier, seconds=watch.seconds, fresh=fresh)


def _keep(ctx: RunContext, noted: list[ItemRow], row: ItemRow) -> None:
    ctx.store.keep(row)
    noted.append(row.model_copy(update={"values": {}}))
