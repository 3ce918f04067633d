"""From a selector of a rule set to facts of a scorecard. A fact has a place, words and a provenance; what is missing, a reason.

Selectors: ``subject/adapter``, ``subject/base``, ``claims``, ``components/<type>``, ``licenses``, ``checks/<plug-in>``,
``findings/<plug-in>``, ``measurements/<metric>``, ``said/<field of the description>``, ``verdict``, ``rules``, ``versions``,
``lineage``, ``gaps``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from governance.evidence import Component, Finding, Measurement, Outcome
from governance.subject import Subject
from governance.verdict import RuleStatus, Scorecard
from reports._render import words
from reports._render.view import short_name

Provenance = Literal["measured", "declared", "inferred"]
#: What it means that a selector found nothing; ``{}`` is its second half.
_NOTHING = {
    "claims": "nothing in the files names a base",
    "lineage": "no ancestor beyond the base was pinned",
    "components": "no {} is named by anything that was read",
    "licenses": "no license of any part is known",
    "said": "neither card nor configuration says its {}",
    "versions": "no model was run, so no library was used for measuring",
    "rules": "the policy gave no result",
    "gaps": "no check was asked",
}
#: Most facts shown for one selector; the scorecard holds all of them.
_MOST = 12


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact, with its place in the scorecard's JSON (a JSON Pointer)."""

    path: str
    says: str
    known: Provenance


@dataclass(frozen=True, slots=True)
class Missing:
    """A selector that found nothing, and why."""

    selector: str
    reason: str


def gather(card: Scorecard, selector: str) -> tuple[Fact | Missing, ...]:
    """Return what a selector finds; never nothing.

    Args:
        card: A recorded scorecard; its strings may be hostile.
        selector: Of a rule set.

    Raises:
        KeyError: There is no such selector.
    """
    head, _, tail = selector.partition("/")
    found = tuple(_SELECTORS[head](card, tail))
    if not found:
        return (Missing(selector, _NOTHING.get(head, "{}: the audit holds no such fact").format(tail.replace("_", " "))),)
    facts = [f for f in found if isinstance(f, Fact)]
    left = len(facts) - _MOST
    if left <= 0:
        return found
    more = Fact(facts[_MOST].path, f"and {left} more in the scorecard", facts[_MOST].known)
    return (*facts[:_MOST], more, *(f for f in found if isinstance(f, Missing)))


def _subject(card: Scorecard, role: str) -> Iterator[Fact | Missing]:
    c = card.dossier.composition
    part = c.adapter if role == "adapter" else c.base
    if part is None:
        yield Missing(f"subject/{role}", words.visible(c.base_reason) or "no base was found")
        return
    yield Fact(f"/dossier/composition/{role}", _subject_words(part), "measured")


def _subject_words(part: Subject) -> str:
    pinned = f"commit {words.name(part.commit)}" if part.commit else "a folder, without a commit"
    size = words.bytes_(sum(f.size for f in part.files))
    return f"{short_name(part)}, {pinned}, {words.count(len(part.files), 'file')}, {size}, sha256 over all files {part.digest}"


def _claims(card: Scorecard, _: str) -> Iterator[Fact | Missing]:
    for n, claim in enumerate(card.dossier.composition.description.claims):
        at = f" at {words.name(claim.revision)}" if claim.revision else ""
        where = f" ({words.name(claim.where)})" if claim.where else ""
        yield Fact(f"/dossier/composition/description/claims/{n}", f"base named as {words.name(claim.name)}{at}{where}", "declared")


def _lineage(card: Scorecard, _: str) -> Iterator[Fact | Missing]:
    for n, part in enumerate(card.dossier.composition.lineage):
        yield Fact(f"/dossier/composition/lineage/{n}", f"ancestor {_subject_words(part)}", "measured")


def _components(card: Scorecard, kind: str) -> Iterator[Fact | Missing]:
    for n, c in enumerate(card.dossier.components):
        if c.type == kind:
            version = f" at {words.name(c.version)}" if c.version else ", not pinned"
            relation = f", {words.name(c.relation)}" if c.relation else ""
            yield Fact(f"/dossier/components/{n}", f"{c.type} {words.name(c.name)}{version}{relation}", _known(c))


def _known(c: Component) -> Provenance:
    return "measured" if c.digest else "declared"


def _licenses(card: Scorecard, _: str) -> Iterator[Fact | Missing]:
    for n, c in enumerate(card.dossier.components):
        for field, said, known in (
            ("license_declared", c.license_declared, "declared"),
            ("license_detected", c.license_detected, "measured"),
            ("license_concluded", c.license_concluded, "inferred"),
        ):
            if said:
                text = f"{c.type} {words.name(c.name)}: {field.removeprefix('license_')} {words.name(said)}"
                yield Fact(f"/dossier/components/{n}/{field}", text, _PROVENANCE[known])
        if c.type in ("adapter", "base", "dataset") and not (c.license_declared or c.license_detected or c.license_concluded):
            yield Missing("licenses", f"{c.type} {words.name(c.name)} has no license that is known")


_PROVENANCE: dict[str, Provenance] = {"declared": "declared", "measured": "measured", "inferred": "inferred"}


def _checks(card: Scorecard, plugin: str) -> Iterator[Fact | Missing]:
    for n, check in enumerate(card.dossier.checks):
        if check.id != plugin:
            continue
        done = sum(c.outcome.checked for c in check.coverage)
        covered = f", {done} of {len(check.coverage)} parts read" if check.coverage else ""
        if check.outcome is Outcome.NOT_APPLICABLE:
            yield Missing(f"checks/{plugin}", f"{plugin} had nothing to look at")
        elif check.outcome.checked:
            yield Fact(f"/dossier/checks/{n}", f"{plugin} {words.name(check.version)} completed{covered}", "measured")
        else:
            why = words.visible(check.reason) or "no reason was given"
            yield Missing(f"checks/{plugin}", f"{plugin}: {words.OUTCOMES[check.outcome]}{covered}: {why}")
    if card.dossier.check(plugin) is None:
        yield Missing(f"checks/{plugin}", f"{plugin} was not asked")


def _findings(card: Scorecard, plugin: str) -> Iterator[Fact | Missing]:
    """Yield findings by rule; that there are none is a fact only if the check completed."""
    yield from _checks(card, plugin)
    seen: dict[tuple[str, str], list[tuple[int, Finding]]] = {}
    for n, f in enumerate(card.dossier.findings):
        if f.plugin == plugin:
            seen.setdefault((f.rule, f.severity.value), []).append((n, f))
    for (rule, severity), found in sorted(seen.items(), key=lambda pair: -pair[1][0][1].severity.rank):
        n, first = found[0]
        more = f" (and {len(found) - 1} more of this rule)" if len(found) > 1 else ""
        yield Fact(
            f"/dossier/findings/{n}", f"{severity}: {words.name(rule)}: {words.visible(first.message, 300)}{more}", "measured"
        )
    check = card.dossier.check(plugin)
    if not seen and check is not None and check.outcome is Outcome.COMPLETED:
        at = next(n for n, c in enumerate(card.dossier.checks) if c.id == plugin)
        yield Fact(f"/dossier/checks/{at}/outcome", f"{plugin} reported nothing", "measured")


def _measurements(card: Scorecard, metric: str) -> Iterator[Fact | Missing]:
    found = [(n, m) for n, m in enumerate(card.dossier.measurements) if m.metric == metric]
    for n, m in found:
        yield Fact(f"/dossier/measurements/{n}", _number_words(m), "measured")
    if not found:
        yield Missing(f"measurements/{metric}", _why_not_measured(card, metric))


def _number_words(m: Measurement) -> str:
    interval = f" ({words.interval(m.interval, m.unit)}, {words.level(m.interval)})" if m.interval else " (no interval)"
    pair = ""
    if m.base_value is not None and m.adapter_value is not None:
        pair = f", base {words.number(m.base_value)}, adapter {words.number(m.adapter_value)}"
    outcome = f", {words.name(m.verdict)}" if m.verdict else ""
    kind = f", {words.name(m.quantization)}" if m.quantization else ""
    what = f"{words.name(m.metric)} on {words.name(m.scope)}: {words.number(m.value, m.unit)}"
    return f"{what}{interval}, n = {m.n}{pair}{kind}{outcome}"


def _why_not_measured(card: Scorecard, metric: str) -> str:
    asked = [c for c in card.dossier.checks if c.step == "evaluate"]
    if not asked:
        return f"{metric} was not measured: no model was run in this audit"
    reasons = dict.fromkeys(words.visible(c.reason, 200) for c in asked if not c.outcome.checked and c.reason)
    return f"{metric} was not measured" + (f": {'; '.join(reasons)}" if reasons else "")


def _said(card: Scorecard, field: str) -> Iterator[Fact | Missing]:
    value = getattr(card.dossier.composition.description, field)
    for text in value if isinstance(value, tuple) else (value,) if value else ():
        yield Fact(f"/dossier/composition/description/{field}", f"{field.replace('_', ' ')}: {words.name(text)}", "declared")


def _verdict(card: Scorecard, _: str) -> Iterator[Fact | Missing]:
    v = card.verdict
    yield Fact("/verdict/decision", f"{words.DECISIONS[v.decision]} on {v.on:%Y-%m-%d}: {words.visible(v.reason)}", "inferred")
    yield Fact(
        "/verdict/policy_digest",
        f"policy {words.name(v.policy)} {words.name(v.policy_version)}, sha256 {v.policy_digest[:64]!a}",
        "measured",
    )
    yield Fact("/run_id", f"run {words.name(card.run_id)}, model curator {words.name(card.curator_version)}", "measured")


def _rules(card: Scorecard, _: str) -> Iterator[Fact | Missing]:
    counts = Counter(r.status for r in card.verdict.results)
    said = ", ".join(f"{counts[s]} {words.STATUSES[s]}" for s in RuleStatus if counts[s])
    if said:
        yield Fact("/verdict/results", f"{words.count(len(card.verdict.results), 'rule')} of the policy: {said}", "inferred")
    for n, r in enumerate(card.verdict.results):
        if r.status is RuleStatus.WAIVED:
            yield Fact(
                f"/verdict/results/{n}", f"waived: {words.name(r.rule)}: {words.visible(r.waiver or r.reason, 300)}", "declared"
            )


def _versions(card: Scorecard, _: str) -> Iterator[Fact | Missing]:
    if card.versions:
        said = (f"{words.name(library)} {words.name(version)}" for library, version in sorted(card.versions.items())[:_MOST])
        yield Fact("/versions", f"the measurements were made with {', '.join(said)}", "measured")


def _gaps(card: Scorecard, _: str) -> Iterator[Fact | Missing]:
    for n, c in enumerate(card.dossier.checks):
        if not c.outcome.checked:
            why = words.visible(c.reason, 200) or "no reason was given"
            yield Fact(f"/dossier/checks/{n}", f"not checked by {words.name(c.id)}: {words.OUTCOMES[c.outcome]}: {why}", "measured")
    if card.dossier.checks and all(c.outcome.checked for c in card.dossier.checks):
        yield Fact("/dossier/checks", "every check that was asked got to its end", "measured")


_SELECTORS: dict[str, Callable[[Scorecard, str], Iterator[Fact | Missing]]] = {
    "subject": _subject,
    "claims": _claims,
    "lineage": _lineage,
    "components": _components,
    "licenses": _licenses,
    "checks": _checks,
    "findings": _findings,
    "measurements": _measurements,
    "said": _said,
    "verdict": _verdict,
    "rules": _rules,
    "versions": _versions,
    "gaps": _gaps,
}
