"""Which waiver holds for a composition on a day, and what is wrong with the others.

Read by ``policies.engine``. A waiver that does not hold is ignored and reported; it is never an error that hides the rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from governance.subject import Composition
from policies.document import PolicyRule, Waiver

#: How long before its end a waiver is announced.
ANNOUNCED = timedelta(days=30)


def covers(waiver: Waiver, composition: Composition) -> bool:
    """Return whether a waiver speaks of this composition; every pin it names must fit."""
    pinned, adapter = waiver.subject, composition.adapter
    if pinned.composition is not None and pinned.composition != composition.digest:
        return False
    if pinned.repo is not None and pinned.repo != adapter.name:
        return False
    return pinned.commit is None or pinned.commit == adapter.commit


def fault(waiver: Waiver, rules: Mapping[str, PolicyRule], day: date, most_days: int) -> str | None:
    """Return why a waiver does not hold on a day, or None if it does.

    Args:
        waiver: One that covers the composition.
        rules: Of the policy, by id.
        day: The day of judgement.
        most_days: Longest life the policy allows.
    """
    rule = rules.get(waiver.rule)
    if rule is None:
        return f"there is no rule {waiver.rule!r}"
    if not rule.waivable:
        return f"rule {rule.id} cannot be waived"
    if waiver.owner.strip().casefold() == waiver.approved_by.strip().casefold():
        return f"{waiver.owner} asked for it and approved it: it takes two people"
    if not waiver.reason.strip():
        return "it gives no reason"
    if waiver.created > day:
        return f"it begins on {waiver.created}"
    if waiver.expires < day:
        return f"it expired on {waiver.expires}"
    if waiver.expires - waiver.created > timedelta(days=most_days):
        return f"it lives {(waiver.expires - waiver.created).days} days; at most {most_days} are allowed"
    return None


def standing(waivers: Iterable[Waiver], rules: Mapping[str, PolicyRule], day: date, most_days: int) -> list[tuple[int, str]]:
    """Return the waivers that do nothing on a day, by their place in the list, each with the reason and what to do.

    Args:
        waivers: Of one document.
        rules: Of the policy, by id.
        day: The day.
        most_days: Longest life the policy allows.
    """
    wrong = ((index, w, fault(w, rules, day, most_days)) for index, w in enumerate(waivers))
    return [(i, f"waiver {w.id} does nothing: {why}; renew it with a new approval, or remove it") for i, w, why in wrong if why]


def holding(
    waivers: Iterable[Waiver], rules: Mapping[str, PolicyRule], composition: Composition, day: date, most_days: int
) -> tuple[dict[str, Waiver], tuple[str, ...]]:
    """Return the waivers that hold, by rule, and notes on the ones that do not or soon will not.

    Args:
        waivers: Of the policy.
        rules: Of the policy, by id.
        composition: What is judged.
        day: The day of judgement.
        most_days: Longest life the policy allows.
    """
    held: dict[str, Waiver] = {}
    notes: list[str] = []
    for waiver in waivers:
        if not covers(waiver, composition):
            continue
        wrong = fault(waiver, rules, day, most_days)
        if wrong is not None:
            notes.append(f"waiver {waiver.id} for {waiver.rule} is ignored: {wrong}")
            continue
        held.setdefault(waiver.rule, waiver)
        if waiver.expires - day <= ANNOUNCED:
            notes.append(f"waiver {waiver.id} for {waiver.rule} expires on {waiver.expires}")
    return held, tuple(notes)
