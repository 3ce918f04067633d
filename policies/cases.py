"""Runs the cases of a ``PolicyTest``: a dossier written short, and the verdict it must get.

Read by the test suite. A case is the baseline plus what it names; every plug-in the policy was checked against completed unless
the case says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from governance.dossier import Dossier
from governance.evidence import Basis, Check, Component, Confidence, Finding, Interval, Location, Measurement, Outcome, Severity
from governance.subject import Composition, SourceKind, Subject
from governance.verdict import Verdict
from policies.document import Case, Evidence, PolicyTest, Vocabulary
from policies.loader import LoadedPolicy

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class CaseResult:
    """One case, what it got, and how that differs from what it must get.

    Args:
        case: As written.
        verdict: What the policy said.
        differences: In words; empty if all is as expected.
    """

    case: Case
    verdict: Verdict
    differences: tuple[str, ...]


def run(test: PolicyTest, policy: LoadedPolicy) -> list[CaseResult]:
    """Return the result of every case.

    Args:
        test: The cases.
        policy: What judges them.
    """
    results = []
    for case in test.spec.cases:
        dossier = dossier_of(test.spec.baseline, case, policy.vocabulary)
        verdict = policy.decide(dossier, on=test.spec.now, intent=case.intent)
        results.append(CaseResult(case, verdict, tuple(_differences(case, verdict))))
    return results


def _differences(case: Case, verdict: Verdict) -> list[str]:
    said = {r.rule: r.status.value for r in verdict.results}
    found = [
        f"{rule}: expected {status}, got {said.get(rule, 'no such rule')}"
        for rule, status in case.expect.rules.items()
        if said.get(rule) != status
    ]
    if verdict.decision.value != case.expect.decision:
        found.insert(0, f"expected {case.expect.decision}, got {verdict.reason}")
    return found


def dossier_of(baseline: Evidence, case: Evidence, vocabulary: Vocabulary) -> Dossier:
    """Return the dossier that a baseline and a case describe.

    Args:
        baseline: Facts every case has.
        case: Facts of this one; a measurement of the same name replaces the baseline's.
        vocabulary: Which plug-ins there are.
    """
    outcomes = {**dict.fromkeys(vocabulary.plugins, Outcome.COMPLETED), **baseline.checks, **case.checks}
    asked = {p: o for p, o in outcomes.items() if p not in {*baseline.absent, *case.absent}}
    measured = {k: {**baseline.measurements.get(k, {}), **v} for k, v in {**baseline.measurements, **case.measurements}.items()}
    checks = tuple(
        Check(
            id=p,
            version="1",
            step=vocabulary.plugins[p].step,
            outcome=o,
            reason="" if o is Outcome.COMPLETED else f"{p} ended {o.value} in this case",
        )
        for p, o in sorted(asked.items())
    )
    findings = tuple(_finding(f) for f in (*baseline.findings, *case.findings))
    measurements = (_measurement(k, v, vocabulary) for k, v in measured.items())
    return Dossier(
        composition=composition(),
        checks=checks,
        findings=tuple(f for f in findings if f.plugin in asked),
        measurements=tuple(m for m in measurements if m.plugin in asked),
        components=tuple(_component(w) for w in case.components or baseline.components),
    )


def composition() -> Composition:
    """Return the composition every case is about."""
    adapter = Subject(source=SourceKind.HUB, name="acme/adapter", commit=COMMIT)
    return Composition(adapter=adapter, base=Subject(source=SourceKind.HUB, name="acme/base", commit=COMMIT[::-1]))


def _finding(written: dict[str, str]) -> Finding:
    return Finding(
        plugin=written["plugin"],
        rule=written["rule"],
        severity=Severity(written.get("severity", "medium")),
        confidence=Confidence(written.get("confidence", "high")),
        basis=Basis(written.get("basis", "bytes")),
        message=written.get("message", f"{written['rule']} in a case"),
        locations=(Location(path=written["path"]),) if "path" in written else (),
    )


def _component(written: dict[str, str]) -> Component:
    return Component.model_validate(
        {"plugin": "license-terms", "relation": "", "version": None, **{k: v for k, v in written.items() if k != "license"},
         "license_concluded": written.get("license")}
    )  # fmt: skip


def _measurement(key: str, written: dict[str, float | int | str], vocabulary: Vocabulary) -> Measurement:
    metric, _, scope = key.partition("/")
    number = {k: float(v) for k, v in written.items() if isinstance(v, float | int)}
    interval = Interval(low=number["low"], high=number["high"], method="case") if {"low", "high"} <= number.keys() else None
    return Measurement(
        plugin=next(iter(vocabulary.sayers(metric)), ""),
        metric=metric,
        scope=scope,
        value=number["value"],
        unit=str(written.get("unit", "1")),
        n=int(number["n"]),
        interval=interval,
        verdict=str(written["verdict"]) if "verdict" in written else None,
        margin=number.get("margin"),
        base_value=number.get("base"),
        adapter_value=number.get("adapter"),
        details={"needed-n": int(number["needed"])} if "needed" in number else {},
    )
