"""Truth tables: hits, gaps, errors, waivers; and the shipped policy against its own cases."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from governance.dossier import Dossier
from governance.evidence import Check, Component, Finding, Interval, Measurement, Outcome, Severity
from governance.licensing import Intent
from governance.verdict import Decision, RuleResult, RuleStatus
from policies.cases import COMMIT, composition
from policies.loader import LoadedPolicy
from tests.unit.policy_words import NO_BAD_FILE, VOCABULARY, policy, rule

ON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
GAPS = [o for o in Outcome if not o.checked]


def dossier(
    *, outcomes: dict[str, Outcome | None] | None = None, findings: tuple[Finding, ...] = (), measured: tuple[Measurement, ...] = ()
) -> Dossier:
    """Return a dossier in which every plug-in completed but the ones named; None: never asked."""
    said = {**dict.fromkeys(VOCABULARY.plugins, Outcome.COMPLETED), **(outcomes or {})}
    checks = tuple(
        Check(id=p, version="1", step=VOCABULARY.plugins[p].step, outcome=o, reason="" if o.checked else "after 600 s")
        for p, o in said.items()
        if o is not None
    )
    return Dossier(composition=composition(), checks=checks, findings=findings, measurements=measured)


def found(rule_id: str = "bad-file", plugin: str = "alpha", severity: Severity = Severity.HIGH) -> Finding:
    return Finding(plugin=plugin, rule=rule_id, severity=severity, message=f"{rule_id} seen")


def skill(
    value: float = 0.0, *, scope: str = "general", low: float | None = -0.02, verdict: str = "retained", margin: float = 0.05
) -> Measurement:
    interval = None if low is None else Interval(low=low, high=value + 0.02, method="test")
    return Measurement(
        plugin="skill", metric="skill", scope=scope, value=value, unit="1", n=200, interval=interval, verdict=verdict, margin=margin
    )


def ask(judge: LoadedPolicy, facts: Dossier, intent: Intent | None = None) -> RuleResult:
    return judge.decide(facts, on=ON, intent=intent or Intent()).results[0]


# --- hits, gaps, errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "hit", "status"),
    [
        (Outcome.COMPLETED, False, RuleStatus.PASS),
        (Outcome.NOT_APPLICABLE, False, RuleStatus.PASS),
        (Outcome.COMPLETED, True, RuleStatus.FAIL),
        *[(o, False, RuleStatus.UNKNOWN) for o in GAPS],
        *[(o, True, RuleStatus.FAIL) for o in GAPS],
        (None, False, RuleStatus.UNKNOWN),
    ],
)
def test_a_hit_counts_and_a_gap_never_passes(tmp_path: Path, outcome: Outcome | None, hit: bool, status: RuleStatus) -> None:
    facts = dossier(outcomes={"alpha": outcome}, findings=(found(),) if hit else ())
    assert ask(policy(tmp_path, NO_BAD_FILE), facts).status is status


def test_or_does_not_absorb_a_gap(tmp_path: Path) -> None:
    judge = policy(tmp_path, rule('findings["alpha"].size() == 0 || findings["beta"].size() == 0'))
    assert ask(judge, dossier()).status is RuleStatus.PASS
    assert ask(judge, dossier(outcomes={"beta": Outcome.FAILED})).status is RuleStatus.UNKNOWN


def test_a_false_that_does_not_need_the_gap_stays_a_fail(tmp_path: Path) -> None:
    judge = policy(tmp_path, rule('findings["alpha"].size() == 0 && findings["beta"].size() == 0'))
    facts = dossier(outcomes={"beta": None}, findings=(found(),))
    assert ask(judge, facts).status is RuleStatus.FAIL


@pytest.mark.parametrize(
    "expression",
    [
        'measurements["skill/general"].low > -0.05',
        'measurements["skill/general"].low != 0.5',
        'measurements["skill/general"].low == 0.0',
        '!(measurements["skill/general"].low < -0.05)',
        'measurements["skill/general"].low != 0.5 || findings["alpha"].size() == 0',
        "worst.low != 0.5",
        '(findings["alpha"].size() == 0 ? measurements["skill/general"] : measurements["skill/other"]).low != 0.5',
    ],
)
def test_an_unset_field_never_passes_and_never_fails(tmp_path: Path, expression: str) -> None:
    variables = "  variables: [{name: worst, expression: \"measurements['skill/general']\"}]\n"
    judge = policy(tmp_path, rule(expression), spec=variables)
    other = skill(scope="other")
    assert ask(judge, dossier(measured=(skill(low=None), other))).status is RuleStatus.UNKNOWN
    assert ask(judge, dossier(measured=(skill(low=0.0), other))).status is RuleStatus.PASS


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_no_evidence(tmp_path: Path, value: float) -> None:
    judge = policy(tmp_path, rule('!(measurements["skill/general"].value < -0.05)'))
    assert ask(judge, dossier(measured=(skill(value),))).status is RuleStatus.UNKNOWN


def test_a_hit_is_seen_beside_an_unset_field(tmp_path: Path) -> None:
    judge = policy(tmp_path, rule('findings["alpha"].size() == 0 && measurements["skill/general"].low > -0.05'))
    facts = dossier(findings=(found(),), measured=(skill(low=None),))
    assert ask(judge, facts).status is RuleStatus.FAIL


def test_what_a_crashed_check_had_measured_can_fail_but_not_pass(tmp_path: Path) -> None:
    judge = policy(tmp_path, rule('measurements["skill/general"].value >= -0.05'))
    crashed: dict[str, Outcome | None] = {"skill": Outcome.FAILED}
    assert ask(judge, dossier(outcomes=crashed, measured=(skill(-0.3),))).status is RuleStatus.FAIL
    assert ask(judge, dossier(outcomes=crashed, measured=(skill(0.0),))).status is RuleStatus.UNKNOWN


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        ((), "nobody measured it"),
        ((skill(scope="medical"),), "there is skill/medical"),
        ((skill(), skill(0.3)), "reported twice"),
        ((skill(margin=0.2),), "tested at margin 0.2, the policy allows 0.05"),
    ],
)
def test_a_missing_measurement_says_why(tmp_path: Path, measured: tuple[Measurement, ...], why: str) -> None:
    judge = policy(tmp_path, rule('measurements["skill/general"].value >= -0.05'), spec="  margins: {general: 0.05}\n")
    result = ask(judge, dossier(measured=measured))
    assert result.status is RuleStatus.UNKNOWN
    assert why in result.reason
    assert result.reads['measurements["skill/general"]'].startswith("missing: ")


def test_a_reason_names_the_check_and_its_trouble(tmp_path: Path) -> None:
    result = ask(policy(tmp_path, NO_BAD_FILE), dossier(outcomes={"alpha": Outcome.TIMED_OUT}))
    assert result.reason == 'cannot be decided: findings["alpha"]: alpha timed out: after 600 s'


def test_any_scope_reads_the_worst(tmp_path: Path) -> None:
    judge = policy(tmp_path, rule('measurements["skill/*"].verdict != "degraded"'))
    good, bad = skill(), skill(-0.2, scope="other", verdict="degraded")
    assert ask(judge, dossier(measured=(good,))).status is RuleStatus.PASS
    assert ask(judge, dossier(measured=(good, bad))).status is RuleStatus.FAIL
    assert ask(judge, dossier(measured=(good, skill(math.nan, scope="other")))).status is RuleStatus.UNKNOWN


def test_an_element_without_the_field_that_is_read_is_a_gap(tmp_path: Path) -> None:
    judge = policy(tmp_path, rule('components["dataset"].all(c, c.license != "cc-by-nc-4.0")'))

    def with_licenses(*licenses: str | None) -> Dossier:
        named = tuple(
            Component(plugin="license-terms", type="dataset", name=str(i), license_concluded=x) for i, x in enumerate(licenses)
        )
        return dossier().model_copy(update={"components": named})

    assert ask(judge, with_licenses("mit")).status is RuleStatus.PASS
    assert ask(judge, with_licenses("mit", None)).status is RuleStatus.UNKNOWN
    assert ask(judge, with_licenses(None, "cc-by-nc-4.0")).status is RuleStatus.FAIL
    assert ask(judge, dossier()).status is RuleStatus.UNKNOWN


# --- when, intent, params, variables --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "intent", "status"),
    [
        ('intent.use == "commercial"', Intent(use="commercial"), RuleStatus.PASS),
        ('intent.use == "commercial"', Intent(use="research"), RuleStatus.NOT_APPLICABLE),
        ('intent.use == "commercial"', Intent(), RuleStatus.UNKNOWN),
        ('intent.use != "commercial"', Intent(), RuleStatus.UNKNOWN),
        ('has(intent.use) && intent.use == "commercial"', Intent(), RuleStatus.NOT_APPLICABLE),
    ],
)
def test_a_condition_needs_its_reads_too(tmp_path: Path, when: str, intent: Intent, status: RuleStatus) -> None:
    judge = policy(tmp_path, rule('findings["alpha"].size() == 0', more=f"      when: '{when}'\n"))
    assert ask(judge, dossier(), intent).status is status


def test_a_rule_reads_what_its_variables_read(tmp_path: Path) -> None:
    spec = """\
  variables:
    - {name: trusted, expression: subject.owner == "acme"}
    - {name: clean, expression: 'findings["beta"].size() == 0'}
"""
    judge = policy(tmp_path, rule('trusted || (clean && findings["alpha"].size() == 0)'), spec=spec)
    assert ask(judge, dossier()).status is RuleStatus.PASS
    assert ask(judge, dossier(outcomes={"beta": Outcome.SKIPPED})).status is RuleStatus.UNKNOWN


def test_params_are_typed_and_part_of_the_digest(tmp_path: Path) -> None:
    expression = 'measurements["rate/worst"].value <= params.most'
    judges = [policy(tmp_path, rule(expression), spec=f"  params: {{most: {{type: double, value: {v}}}}}\n") for v in ("0.1", "1")]
    rate = Measurement(plugin="probe", metric="rate", scope="worst", value=0.5, unit="1", n=50)
    assert [ask(j, dossier(measured=(rate,))).status for j in judges] == [RuleStatus.FAIL, RuleStatus.PASS]
    assert judges[0].digest != judges[1].digest


# --- decisions --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "on_unknown", "hit", "outcome", "decision"),
    [
        ("reject", "review", True, Outcome.COMPLETED, Decision.REJECT),
        ("review", "reject", True, Outcome.COMPLETED, Decision.REVIEW),
        ("reject", "review", False, Outcome.FAILED, Decision.REVIEW),
        ("reject", "reject", False, Outcome.FAILED, Decision.REJECT),
        ("review", "reject", False, Outcome.FAILED, Decision.REVIEW),
        ("reject", "reject", False, Outcome.COMPLETED, Decision.APPROVE),
    ],
)
def test_decisions(tmp_path: Path, effect: str, on_unknown: str, hit: bool, outcome: Outcome, decision: Decision) -> None:
    judge = policy(tmp_path, NO_BAD_FILE.replace("effect: reject", f"effect: {effect}"), spec=f"  onUnknown: {on_unknown}\n")
    facts = dossier(outcomes={"alpha": outcome}, findings=(found(),) if hit else ())
    assert judge.decide(facts, on=ON, intent=Intent()).decision is decision


def test_unknown_rejects_unless_the_policy_says_review(tmp_path: Path) -> None:
    verdict = policy(tmp_path, NO_BAD_FILE).decide(dossier(outcomes={"alpha": None}), on=ON, intent=Intent())
    assert verdict.decision is Decision.REJECT
    assert verdict.reason == "reject: 1 unknown (no-bad-file)"


def test_a_note_never_counts(tmp_path: Path) -> None:
    note = rule('findings["beta"].size() == 0', id="noted", effect="note")
    verdict = policy(tmp_path, NO_BAD_FILE + note).decide(dossier(findings=(found("bad-code", "beta"),)), on=ON, intent=Intent())
    assert [r.status for r in verdict.results] == [RuleStatus.PASS, RuleStatus.FAIL]
    assert (verdict.decision, verdict.reason) == (Decision.APPROVE, "approve: all 1 rules that apply passed")


def test_nothing_decided_is_a_review(tmp_path: Path) -> None:
    judge = policy(tmp_path, NO_BAD_FILE + "      when: has(intent.use)\n", spec="  requires: [beta]\n")
    verdict = judge.decide(dossier(), on=ON, intent=Intent())
    assert (verdict.decision, verdict.reason) == (Decision.REVIEW, "review: no rule decided anything")


def test_a_required_check_must_complete(tmp_path: Path) -> None:
    judge = policy(tmp_path, NO_BAD_FILE, spec="  onUnknown: review\n  requires: [alpha, probe]\n")
    verdict = judge.decide(dossier(outcomes={"probe": Outcome.TIMED_OUT}), on=ON, intent=Intent())
    assert verdict.decision is Decision.REVIEW
    assert verdict.results[-1].reason == "1 of 2 completed; probe timed out: after 600 s"


def test_the_verdict_replays_bit_for_bit_and_ignores_timing(tmp_path: Path) -> None:
    judge, facts = policy(tmp_path, NO_BAD_FILE), dossier(findings=(found(),))
    slower = facts.model_copy(update={"checks": tuple(c.model_copy(update={"seconds": 9.0, "reused": True}) for c in facts.checks)})
    first, again = (judge.decide(f, on=ON, intent=Intent()) for f in (facts, slower))
    assert first.model_dump_json() == again.model_dump_json()
    other = judge.decide(dossier(), on=ON, intent=Intent())
    assert other.input_digest != first.input_digest


def test_strange_text_does_not_raise(tmp_path: Path) -> None:
    strange = found().model_copy(update={"message": "lone \ud800 surrogate {} %s \x00", "rule": "bad-file"})
    judge = policy(tmp_path, NO_BAD_FILE + '      message: findings["alpha"][0].message\n')
    result = ask(judge, dossier(findings=(strange,)))
    assert result.status is RuleStatus.FAIL
    result.model_dump_json()


def test_a_message_is_bounded(tmp_path: Path) -> None:
    judge = policy(tmp_path, NO_BAD_FILE + '      message: findings["alpha"].map(f, f.message).join("; ")\n')
    assert len(ask(judge, dossier(findings=(found(),) * 900)).reason) == 600


def test_a_message_that_cannot_be_made_is_replaced(tmp_path: Path) -> None:
    judge = policy(tmp_path, NO_BAD_FILE + '      message: string(measurements["skill/general"].low)\n')
    assert ask(judge, dossier(findings=(found(),))).reason == 'not so: No bad file (findings["alpha"]: 1 finding: bad-file (high))'


# --- early stop -------------------------------------------------------------------------------------------------------------


def test_a_reject_that_inspection_alone_answers_stops_early(tmp_path: Path) -> None:
    judge = policy(tmp_path, NO_BAD_FILE + rule('findings["alpha"].size() == 0 && findings["probe"].size() == 0', id="both"))
    only_inspected = {"skill": None, "probe": None}
    hit = dossier(outcomes=dict(only_inspected), findings=(found(),))
    stop = judge.stop_before_evaluation(hit, on=ON, intent=Intent())
    assert stop is not None
    assert stop.startswith("not needed: small already rejects by no-bad-file: ")
    odd = dossier(outcomes=dict(only_inspected), findings=(found("odd-file"),))
    assert judge.stop_before_evaluation(odd, on=ON, intent=Intent()) is None
    gap = dossier(outcomes={**only_inspected, "alpha": Outcome.FAILED})
    assert judge.stop_before_evaluation(gap, on=ON, intent=Intent()) is None


# --- waivers ----------------------------------------------------------------------------------------------------------------


def waiver(**changes: str) -> str:
    fields = {
        "id": "w-1", "rule": "no-bad-file", "reason": "agreed with the publisher", "owner": "jane@example.org",
        "approvedBy": "joe@example.org", "created": "2026-10-01", "expires": "2027-01-31",
        "subject": f'{{repo: acme/adapter, commit: "{COMMIT}"}}', **changes,
    }  # fmt: skip
    return "  waivers:\n    - {" + ", ".join(f"{k}: {v}" for k, v in fields.items()) + "}\n"


@pytest.mark.parametrize(
    ("changes", "status", "note"),
    [
        ({}, RuleStatus.WAIVED, ""),
        ({"subject": f"{{composition: {composition().digest}}}"}, RuleStatus.WAIVED, ""),
        ({"expires": "2026-12-01"}, RuleStatus.WAIVED, "expires on 2026-12-01"),
        ({"expires": "2026-11-24"}, RuleStatus.WAIVED, "expires on 2026-11-24"),
        ({"expires": "2026-11-23"}, RuleStatus.FAIL, "it expired on 2026-11-23"),
        ({"created": "2026-11-25"}, RuleStatus.FAIL, "it begins on 2026-11-25"),
        ({"expires": "2027-10-01"}, RuleStatus.FAIL, "it lives 365 days; at most 180 are allowed"),
        ({"approvedBy": "Jane@example.org"}, RuleStatus.FAIL, "it takes two people"),
        ({"rule": "no-such-rule"}, RuleStatus.FAIL, "there is no rule 'no-such-rule'"),
        ({"subject": f'{{repo: acme/other, commit: "{COMMIT}"}}'}, RuleStatus.FAIL, ""),
        ({"subject": f'{{repo: acme/adapter, commit: "{"f" * 40}"}}'}, RuleStatus.FAIL, ""),
        ({"covers": "[unknown]"}, RuleStatus.FAIL, ""),
    ],
)
def test_waivers(tmp_path: Path, changes: dict[str, str], status: RuleStatus, note: str) -> None:
    verdict = policy(tmp_path, NO_BAD_FILE, spec=waiver(**changes)).decide(dossier(findings=(found(),)), on=ON, intent=Intent())
    assert verdict.results[0].status is status
    assert verdict.decision is (Decision.APPROVE if status is RuleStatus.WAIVED else Decision.REJECT)
    assert verdict.results[0].waiver == ("w-1" if status is RuleStatus.WAIVED else None)
    assert (note in verdict.notes[0]) if note else not verdict.notes


def test_waivable_false_wins(tmp_path: Path) -> None:
    judge = policy(tmp_path, NO_BAD_FILE + "      waivable: false\n", spec=waiver())
    verdict = judge.decide(dossier(findings=(found(),)), on=ON, intent=Intent())
    assert verdict.decision is Decision.REJECT
    assert verdict.notes == ("waiver w-1 for no-bad-file is ignored: rule no-bad-file cannot be waived",)


def test_an_unknown_is_lifted_to_review_at_most(tmp_path: Path) -> None:
    judge = policy(tmp_path, NO_BAD_FILE, spec=waiver(covers="[unknown, fail]"))
    verdict = judge.decide(dossier(outcomes={"alpha": Outcome.FAILED}), on=ON, intent=Intent())
    assert (verdict.results[0].status, verdict.decision) == (RuleStatus.UNKNOWN, Decision.REVIEW)


def test_a_waiver_lets_the_evaluation_go_on(tmp_path: Path) -> None:
    judge = policy(tmp_path, NO_BAD_FILE, spec=waiver())
    assert judge.stop_before_evaluation(dossier(findings=(found(),)), on=ON, intent=Intent()) is None
