"""Recorded verdicts judged again: by the policy that made them, which must agree, or by another, which may not.

Pure: no model is run and nothing is fetched; the facts are the scorecard's, the instant is the recorded one. Read by ``api``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from governance.licensing import Intent
from governance.verdict import Decision, RuleResult, Scorecard, Verdict
from policies.engine import input_digest
from policies.loader import LoadedPolicy

State = Literal["same", "changed", "altered", "other-engine"]


@dataclass(frozen=True)
class Replay:
    """One recorded verdict judged again.

    Args:
        run_id: The run.
        adapter: What it was about, pinned.
        state: ``same``: bit for bit; ``changed``: another answer; ``altered``: the facts are not those the verdict was made
            from; ``other-engine``: the rule engine has another version, so equality proves nothing.
        before: The recorded decision.
        after: The decision now.
        differences: In words, rule by rule.
    """

    run_id: str
    adapter: str
    state: State
    before: Decision
    after: Decision
    differences: tuple[str, ...]


def intent_of(card: Scorecard) -> Intent:
    """Return what the asker of a recorded run wanted."""
    return Intent.model_validate(json.loads(card.settings.get("intent", "{}")))


def judged_again(card: Scorecard, policy: LoadedPolicy) -> Verdict:
    """Return what a policy says of recorded facts at the recorded instant."""
    return policy.decide(card.dossier, on=card.verdict.on, intent=intent_of(card))


def replay(card: Scorecard, policy: LoadedPolicy) -> Replay:
    """Judge a recorded verdict again by the policy that made it; every field must come out equal.

    Args:
        card: As recorded.
        policy: The one the verdict cites.
    """
    old, now = card.verdict, judged_again(card, policy)
    state: State = "same" if now == old else "changed"
    said: list[str] = []
    if input_digest(card.dossier, intent_of(card)) != old.input_digest:
        state = "altered"
        said.append("the facts in the scorecard are not those the verdict was made from: their digest differs")
    if (now.engine, now.engine_version) != (old.engine, old.engine_version):
        state = "other-engine" if state == "same" or _alike(old, now) else state
        said.append(f"judged by {old.engine} {old.engine_version}, now by {now.engine} {now.engine_version}")
    if now.policy_digest != old.policy_digest:
        state = "changed" if state == "same" else state
        said.append(f"the policy is another document: sha256:{old.policy_digest[:12]}…, now sha256:{now.policy_digest[:12]}…")
    return Replay(
        card.run_id, str(card.dossier.composition.adapter), state, old.decision, now.decision, (*said, *differences(old, now))
    )


def differences(old: Verdict, new: Verdict) -> tuple[str, ...]:
    """Return in words what differs between two verdicts, rule by rule.

    Args:
        old: The recorded one.
        new: The one of now.
    """
    before, after = ({r.rule: r for r in v.results} for v in (old, new))
    said = [f"decision: {old.decision.value}, now {new.decision.value}"] if old.decision is not new.decision else []
    for name in dict.fromkeys([*before, *after]):
        said += _of_rule(name, before.get(name), after.get(name))
    if not said and old != new:
        fields = [f for f in type(old).model_fields if getattr(old, f) != getattr(new, f)]
        said.append("same answers, other wording or identity: " + ", ".join(fields))
    return tuple(said)


def _of_rule(name: str, old: RuleResult | None, new: RuleResult | None) -> list[str]:
    if old is None or new is None:
        one = old or new
        return [f"{name}: {'gone' if new is None else 'new'} ({one.status.value})"] if one else []
    if (old.status, old.decision) != (new.status, new.decision):
        asked = "" if old.decision is new.decision else f", asks for {new.decision.value if new.decision else 'nothing'}"
        return [f"{name}: {old.status.value}, now {new.status.value}{asked}: {new.reason}"]
    return [f"{name}: the reason or what was read differs" for _ in [0] if old.reads != new.reads or old.reason != new.reason]


def _alike(old: Verdict, new: Verdict) -> bool:
    """Return whether two verdicts differ in the engine's identity alone."""
    return old == new.model_copy(update={"engine": old.engine, "engine_version": old.engine_version})


@dataclass(frozen=True)
class Change:
    """A recorded verdict that another policy would not give.

    Args:
        run_id: The run.
        adapter: What it was about, pinned.
        before: Decision on record, or of the old policy.
        after: Decision of the new policy.
        differences: In words.
    """

    run_id: str
    adapter: str
    before: Decision
    after: Decision
    differences: tuple[str, ...]


def change(card: Scorecard, old: LoadedPolicy | None, new: LoadedPolicy) -> Change | None:
    """Return how a new policy would answer otherwise on recorded facts, or None if it would not.

    Args:
        card: As recorded.
        old: The policy to compare with; None: the verdict on record.
        new: The policy in question.
    """
    before = judged_again(card, old) if old else card.verdict
    after = judged_again(card, new)
    if before.decision is after.decision:
        return None
    reasons = [r for r in differences(before, after) if not r.startswith("decision:")]
    return Change(card.run_id, str(card.dossier.composition.adapter), before.decision, after.decision, tuple(reasons))


def ways(changes: Sequence[Change]) -> dict[str, int]:
    """Return how many verdicts go which way, such as ``approve → review``."""
    found: dict[str, int] = {}
    for one in changes:
        way = f"{one.before.value} → {one.after.value}"
        found[way] = found.get(way, 0) + 1
    return found
