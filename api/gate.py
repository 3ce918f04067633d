"""The gate of a pipeline: a recorded verdict that still holds is taken, anything else is audited; one exit code for all models.

Read by ``api.cli.gate``. A model that could not be audited is an outcome of its own and never passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from api.curator import Curator
from api.outcomes import ERROR, OK, REJECT, REVIEW
from governance.context import EvaluationSettings, Progress
from governance.errors import Cancelled, CuratorError, LedgerError, PrerequisiteError
from governance.licensing import Intent
from governance.lock import Entry
from governance.subject import CompositionRef
from governance.verdict import Decision, Scorecard
from policies.loader import LoadedPolicy
from reports._ci.results import Place

#: Worst first: a model that is rejected is not hidden by one that could not be audited, which is worse than an open question.
_WORST = (REJECT, ERROR, REVIEW, OK)


@dataclass(frozen=True)
class Asked:
    """One model at the gate.

    Attributes:
        ref: What to audit.
        text: As it was named.
        place: Line that names it, if a lock does.
        locked: Its entry in the lock, if there is one.
    """

    ref: CompositionRef
    text: str
    place: Place | None = None
    locked: Entry | None = None


@dataclass(frozen=True)
class Gated:
    """What became of one model.

    Attributes:
        asked: The model.
        card: Its scorecard; None: there is no verdict.
        reused: Whether the verdict was on record.
        error: Why there is no verdict, or why it does not count: the lock speaks of other bytes.
    """

    asked: Asked
    card: Scorecard | None = None
    reused: bool = False
    error: CuratorError | None = None

    @property
    def code(self) -> int:
        """Exit code of this model alone."""
        if self.card is None:
            return ERROR
        code = {Decision.APPROVE: OK, Decision.REVIEW: REVIEW, Decision.REJECT: REJECT}[self.card.verdict.decision]
        return max(code, ERROR) if self.error is not None else code


def gate(
    curator: Curator,
    asked: Sequence[Asked],
    judge: LoadedPolicy,
    *,
    intent: Intent,
    evaluation: EvaluationSettings,
    fresh: bool,
    emit: Callable[[Progress], None],
    checkpoint: Callable[[], None],
) -> list[Gated]:
    """Judge every model; one that fails does not keep the others from being judged.

    Args:
        curator: Open.
        asked: At least one model.
        judge: Of all of them.
        intent: What the asker wants to do with them.
        evaluation: What is measured where no verdict is on record.
        fresh: Whether recorded verdicts are passed over.
        emit: Takes progress.
        checkpoint: Called often; raises ``Cancelled``.

    Returns:
        One outcome for each, in order.

    Raises:
        Cancelled: The caller ended it.
    """
    found: list[Gated] = []
    for one in asked:
        try:
            card, reused = curator.verdict(
                one.ref, judge, intent=intent, evaluation=evaluation, reuse=not fresh, emit=emit, checkpoint=checkpoint
            )
        except (Cancelled, LedgerError, PrerequisiteError):
            raise
        except CuratorError as error:
            found.append(Gated(one, error=error))
            continue
        found.append(Gated(one, card, reused, _unlocked(one, card)))
    return found


def _unlocked(one: Asked, card: Scorecard) -> CuratorError | None:
    digest = f"sha256:{card.dossier.composition.digest}"
    if one.locked is None or one.locked.composition == digest:
        return None
    return CuratorError(
        f"{one.text} is not what was locked: {digest[:19]}… in place of {one.locked.composition[:19]}…",
        hint="base, tokenizer, template or bytes changed since; look at both runs, then curator lock it again",
    )


def worst(gated: Sequence[Gated]) -> int:
    """Return one exit code for all models; without a model it is an error."""
    codes = {g.code for g in gated}
    return next((c for c in _WORST if c in codes), ERROR)
