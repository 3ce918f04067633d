"""Applies the rules of a policy to a dossier: pure, total, and able to explain every answer.

Laws. A pass needs all its evidence: a missing key turns *true* into *unknown*. Hits before gaps: an unknown is asked again
over partial evidence, and *false* there is a fail. An unset field is treated as a missing key. Notes never count; if nothing
decided, the decision is review. ``policies.loader`` makes the rules and calls this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from governance.dossier import Dossier
from governance.evidence import Outcome, Severity
from governance.licensing import Intent
from governance.subject import canonical_digest
from governance.verdict import Decision, RuleResult, RuleStatus
from policies._cel.environment import ANY_SCOPE, EVIDENCE, LISTS, MESSAGES, Facts, Fields, settable
from policies._cel.expressions import Cut, Data, Program, RuleEngine, Unknown
from policies._cel.reads import Read
from policies.document import Effect, PolicyRule, Vocabulary, Waiver

#: The result of ``requires``; no rule may take its name.
REQUIRED = "required-checks"
#: Characters of a rule's message; findings are listed in full elsewhere.
_LONGEST = 600
_SHOWN = 3


@dataclass(frozen=True)
class CompiledRule:
    """A rule with its programs.

    Args:
        rule: As written.
        expression: True means good.
        when: Whether it applies; None: always.
        message: What is said when it fails.
    """

    rule: PolicyRule
    expression: Program
    when: Program | None
    message: Program | None

    @cached_property
    def reads(self) -> frozenset[Read]:
        """Everything that ``expression`` and ``when`` read, without the fields that ``has()`` guards."""
        programs = (self.expression, self.when) if self.when else (self.expression,)
        return frozenset(r for p in programs for r in p.reach.reads - p.reach.guarded)

    def before_evaluation(self, vocabulary: Vocabulary) -> bool:
        """Return whether inspection alone answers it."""
        return all(_inspected(r, vocabulary) for r in self.reads if r.variable in EVIDENCE)


def _inspected(read: Read, vocabulary: Vocabulary) -> bool:
    if read.variable in ("findings", "checks"):
        return vocabulary.plugins[read.key].step == "inspect"
    return read.variable == "components"


@dataclass(frozen=True)
class Evidence:
    """A dossier as rules see it: what counts, and everything that was recorded, each also in the engine's own form."""

    counted: Facts
    recorded: Facts
    dossier: Dossier
    vocabulary: Vocabulary
    engine: RuleEngine
    counted_data: Data
    recorded_data: Data


@dataclass(frozen=True)
class View:
    """Facts cut down to what one rule may rely on, with the gaps that the cut made.

    Args:
        data: For the engine.
        gaps: Why each thing read is missing, by read.
    """

    data: Data
    gaps: Mapping[Read, str]


def view(facts: Facts, data: Data, reads: frozenset[Read], evidence: Evidence) -> View:
    """Return facts without whatever lacks a field that is read; what is missing is listed.

    Args:
        facts: Counted or recorded.
        data: The same, for the engine.
        reads: Of one rule.
        evidence: For the reasons.
    """
    gaps: dict[Read, str] = {}
    variables: set[str] = set()
    keys: set[tuple[str, str]] = set()
    elements: dict[tuple[str, str], tuple[int, ...]] = {}
    for read in sorted(reads):
        at = (read.variable, read.key)
        if read.variable not in EVIDENCE:
            if read.field and not _set(MESSAGES.get(read.variable.capitalize()), facts.plain[read.variable], read.field):
                gaps[read] = "not given" if read.variable == "intent" else "not known"
                variables.add(read.variable)
        elif not facts.has(*at):
            gaps[Read(*at)] = _why_missing(read, facts, evidence)
        elif read.field and read.variable in LISTS:
            every = facts.lists[read.variable][read.key]
            whole = {i for i, e in enumerate(every) if _set(MESSAGES[EVIDENCE[read.variable]], e, read.field)}
            if len(whole) < len(every):
                gaps[read] = f"{len(every) - len(whole)} of {len(every)} have no {read.field}"
                elements[at] = tuple(sorted(whole & set(elements.get(at, whole))))
        elif read.field and not _set(MESSAGES[EVIDENCE[read.variable]], facts.singles[read.variable][read.key], read.field):
            gaps[read] = f"it has no {read.field}"
            keys.add(at)
    cut = Cut(variables=frozenset(variables), keys=frozenset(keys), elements=elements)
    return View(evidence.engine.without(data, cut), gaps)


def _set(message: Mapping[str, object] | None, fields: Fields, name: str) -> bool:
    if message is None:
        return name in fields
    if message.get(name) == "base":
        return any(k.startswith(f"{name}.") for k in fields)
    kind = MESSAGES["Base"].get(name.removeprefix("base.")) if "." in name else message.get(name)
    value = fields.get(name)
    match kind:
        case "string" | "double" | "int":
            return settable(kind, value) is not None
        case _:
            return value is not None


def _why_missing(read: Read, facts: Facts, evidence: Evidence) -> str:
    """Return why an evidence key is not there, in words."""
    said = facts.missing.get(f"{read.variable}/{read.key}")
    if said:
        return said
    match read.variable:
        case "measurements":
            metric = read.key.split("/", 1)[0]
            reasons = [_not_checked(p, evidence.dossier) for p in evidence.vocabulary.sayers(metric)]
            gaps = [r for r in reasons if r]
            scopes = sorted(k for k in facts.singles["measurements"] if k.startswith(f"{metric}/") and not k.endswith(ANY_SCOPE))
            return "; ".join(gaps) or f"nobody measured it; there is {', '.join(scopes) or 'no ' + metric}"
        case "components":
            named = sorted({c.plugin for c in evidence.dossier.components})
            return "; ".join(filter(None, (_not_checked(p, evidence.dossier) for p in named))) or "no check named a component"
        case _:
            return _not_checked(read.key, evidence.dossier) or "it is not there"


def _not_checked(plugin: str, dossier: Dossier) -> str:
    check = dossier.check(plugin)
    if check is None:
        return f"{plugin} was not run"
    if check.outcome.checked:
        return ""
    words = {Outcome.PARTIAL: "is partial", Outcome.TIMED_OUT: "timed out", Outcome.SKIPPED: "was skipped"}
    how = words.get(check.outcome, check.outcome.value)
    return f"{plugin} {how}: {check.reason}" if check.reason else f"{plugin} {how}"


def judge(compiled: CompiledRule, evidence: Evidence, on_unknown: Decision, waiver: Waiver | None) -> RuleResult:
    """Return what became of one rule.

    Args:
        compiled: The rule.
        evidence: The dossier.
        on_unknown: What an unknown on a ``reject`` rule asks for.
        waiver: One that holds for the rule, or None.
    """
    rule, reads = compiled.rule, compiled.reads
    strict = view(evidence.counted, evidence.counted_data, reads, evidence)
    status, why = _status(compiled, strict, evidence)
    shown = evidence.counted
    if status is RuleStatus.FAIL and why:
        shown = evidence.recorded
    decision = _asks(rule.effect, status, on_unknown)
    named = None
    if waiver is not None and status.value in waiver.covers:
        named = waiver.id
        if status is RuleStatus.FAIL:
            status, decision = RuleStatus.WAIVED, None if rule.effect == "note" else Decision.APPROVE
        elif decision is Decision.REJECT:
            decision = Decision.REVIEW
    return RuleResult(
        rule=rule.id,
        title=rule.title,
        severity=rule.severity,
        effect=rule.effect,
        status=status,
        decision=decision,
        reason=_reason(compiled, status, why, strict, shown, evidence, waiver if named else None),
        remediation=rule.remediation if status in (RuleStatus.FAIL, RuleStatus.UNKNOWN, RuleStatus.WAIVED) else "",
        references=tuple(str(r) for r in rule.references),
        reads=_values(reads, shown, strict.gaps),
        waiver=named,
    )


def _status(compiled: CompiledRule, strict: View, evidence: Evidence) -> tuple[RuleStatus, str]:
    """Return the status and, for what rests on a gap, why."""
    applies: bool | str | Unknown = compiled.when.evaluate(strict.data) if compiled.when else True
    if applies is False:
        return RuleStatus.NOT_APPLICABLE, ""
    answer = compiled.expression.evaluate(strict.data)
    if applies is True and answer is False:
        return RuleStatus.FAIL, ""
    if applies is True and answer is True and not strict.gaps:
        return RuleStatus.PASS, ""
    why = "; ".join(
        f"{r}{'.' + r.field if r.variable in EVIDENCE and r.field else ''}: {g}" for r, g in sorted(strict.gaps.items())
    )
    if not why:
        why = next((a.reason for a in (applies, answer) if isinstance(a, Unknown)), "no answer")
    everything = view(evidence.recorded, evidence.recorded_data, compiled.reads, evidence)
    if (compiled.when is None or compiled.when.evaluate(everything.data) is True) and (
        compiled.expression.evaluate(everything.data) is False
    ):
        return RuleStatus.FAIL, why
    return RuleStatus.UNKNOWN, why


def _asks(effect: Effect, status: RuleStatus, on_unknown: Decision) -> Decision | None:
    if effect == "note" or status is RuleStatus.NOT_APPLICABLE:
        return None
    if status is RuleStatus.FAIL:
        return Decision(effect)
    if status is RuleStatus.UNKNOWN:
        return on_unknown if effect == "reject" else Decision.REVIEW
    return Decision.APPROVE


def _reason(
    compiled: CompiledRule, status: RuleStatus, why: str, strict: View, shown: Facts, evidence: Evidence, waiver: Waiver | None
) -> str:
    lifted = f" (waiver {waiver.id} by {waiver.approved_by}, expires {waiver.expires})" if waiver else ""
    values = "; ".join(f"{k}: {v}" for k, v in _values(compiled.reads, shown, strict.gaps).items())
    match status:
        case RuleStatus.FAIL | RuleStatus.WAIVED:
            said = compiled.message.evaluate(_data(shown, evidence)) if compiled.message else None
            text = said if isinstance(said, str) and said.strip() else f"not so: {compiled.rule.title} ({values})"
            text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
            return text + (f" — seen although evidence is incomplete ({why})" if why else "") + lifted
        case RuleStatus.UNKNOWN:
            return f"cannot be decided: {why}{lifted}"
        case RuleStatus.NOT_APPLICABLE:
            return "does not apply here" + (f" ({values})" if values else "")
        case _:
            return values


def _data(facts: Facts, evidence: Evidence) -> Data:
    return evidence.counted_data if facts is evidence.counted else evidence.recorded_data


def _values(reads: frozenset[Read], facts: Facts, gaps: Mapping[Read, str]) -> dict[str, str]:
    """Return each key or field read with its value as text, or why it is missing."""
    found: dict[str, str] = {}
    for read in sorted(reads):
        key = Read(read.variable, read.key, "" if read.variable in EVIDENCE else read.field)
        if not (key.key or key.field) or str(key) in found:
            continue
        if key.variable not in EVIDENCE:
            value = facts.plain[key.variable].get(key.field)
            if value is not None or key in gaps:
                found[str(key)] = _text(value) if value is not None else gaps[key]
        elif facts.has(key.variable, key.key):
            found[str(key)] = _shown(key, facts)
        else:
            found[str(key)] = "missing: " + gaps.get(key, "not checked")
    return found


def _shown(read: Read, facts: Facts) -> str:
    """Return the value of an evidence key in a few words."""
    if read.variable in LISTS:
        every = facts.lists[read.variable][read.key]
        word = read.variable.removesuffix("s") if len(every) == 1 else read.variable
        names = [str(e.get("rule") or e.get("name")) + (f" ({e['severity']})" if e.get("severity") else "") for e in every]
        kinds = [f"{n} x{names.count(n)}" if names.count(n) > 1 else n for n in dict.fromkeys(names)]
        more = f" and {len(kinds) - _SHOWN} more" if len(kinds) > _SHOWN else ""
        return f"{len(every)} {word}" + (f": {', '.join(kinds[:_SHOWN])}{more}" if kinds else "")
    fields = facts.singles[read.variable][read.key]
    if read.variable == "checks":
        return _text(fields["outcome"]) + (f": {fields['reason']}" if fields.get("reason") else "")
    parts = [_text(fields["value"])]
    if fields.get("low") is not None and fields.get("high") is not None:
        parts[0] += f" [{_text(fields['low'])}, {_text(fields['high'])}]"
    parts.append(f"n {fields['n']}")
    parts += [f"margin {_text(fields['margin'])}"] if fields.get("margin") is not None else []
    parts += [str(fields["verdict"])] if fields.get("verdict") else []
    return ", ".join(parts)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def required(plugins: Sequence[str], dossier: Dossier, on_unknown: Decision) -> RuleResult:
    """Return the result that every required plug-in completed, whatever the rules read.

    Args:
        plugins: Ids from ``requires``.
        dossier: The facts.
        on_unknown: What an incomplete one asks for.
    """
    gaps = {p: gap for p in plugins if (gap := _not_checked(p, dossier))}
    done = {c.id: c.outcome.value for c in dossier.checks}
    return RuleResult(
        rule=REQUIRED,
        title="Every required check completed",
        severity=Severity.HIGH,
        effect="reject" if on_unknown is Decision.REJECT else "review",
        status=RuleStatus.UNKNOWN if gaps else RuleStatus.PASS,
        decision=on_unknown if gaps else None,
        reason=f"{len(plugins) - len(gaps)} of {len(plugins)} completed" + "".join(f"; {gap}" for gap in gaps.values()),
        remediation="See why each one stopped and run the audit again; what was not checked is never approved." if gaps else "",
        reads={f'checks["{p}"]': gaps.get(p) or done[p] for p in plugins},
    )


def conclude(results: Sequence[RuleResult]) -> tuple[Decision, str]:
    """Return the worst decision any result asks for, and the sentence that says why; review if none asks.

    Args:
        results: Of all rules.
    """
    asked = [r.decision for r in results if r.decision is not None]
    if not asked:
        return Decision.REVIEW, "review: no rule decided anything"
    decision = max(asked, key=lambda d: d.rank)
    counted = [r for r in results if r.effect != "note"]
    parts = []
    for status, word in ((RuleStatus.FAIL, "failed"), (RuleStatus.UNKNOWN, "unknown"), (RuleStatus.WAIVED, "waived")):
        names = [r.rule for r in counted if r.status is status]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        parts += [f"{len(names)} {word} ({', '.join(names[:5])}{more})"] if names else []
    passed = sum(r.status is RuleStatus.PASS for r in counted)
    return decision, f"{decision.value}: " + ", ".join(parts or [f"all {passed} rules that apply passed"])


def input_digest(dossier: Dossier, intent: Intent) -> str:
    """Return the SHA-256 of everything the rules read: facts and checks without their timing, and the intent.

    Args:
        dossier: The facts.
        intent: What the asker wants.
    """
    document = dossier.model_dump(mode="json")
    for check in document["checks"]:
        del check["seconds"], check["reused"]
    return canonical_digest({"dossier": document, "intent": intent.model_dump(mode="json")})


def gathered(counted: Facts, recorded: Facts, dossier: Dossier, vocabulary: Vocabulary, engine: RuleEngine) -> Evidence:
    """Return the evidence of one dossier.

    Args:
        counted: Facts of checks that completed.
        recorded: Facts of all checks.
        dossier: Where both come from.
        vocabulary: Which plug-in says what.
        engine: Evaluates expressions.
    """
    bound = engine.bind(counted)
    return Evidence(
        counted=counted,
        recorded=recorded,
        dossier=dossier,
        vocabulary=vocabulary,
        engine=engine,
        counted_data=bound,
        recorded_data=bound if recorded is counted else engine.bind(recorded),
    )
