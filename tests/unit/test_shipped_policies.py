"""Every shipped policy against its own cases, and against evidence that is taken away."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import evaluators
import scanners
from api.settings import Settings
from governance.contracts import Evaluator, Policy, Scanner, Voice
from governance.dossier import Dossier
from governance.evidence import Outcome
from governance.licensing import Intent
from governance.plugins import discover
from governance.verdict import Decision, RuleStatus
from policies.cases import composition, dossier_of, run
from policies.document import Evidence, Vocabulary
from policies.loader import GATES, LoadedPolicy, load, load_test, shipped

ON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
GAPS = [o for o in Outcome if not o.checked]


def registered() -> Vocabulary:
    return Vocabulary.of(inspect=discover(scanners, Scanner).values(), evaluate=discover(evaluators, Evaluator).values())


@pytest.fixture(scope="module")
def default() -> LoadedPolicy:
    return load("default", registered())


def validated_rules(name: str) -> set[str]:
    """Return the ids of the rules a policy's own file writes; inherited ones are shown where they are written."""
    return {r["id"] for r in yaml.safe_load((GATES / f"{name}.yaml").read_text())["spec"].get("rules", [])}


@pytest.mark.parametrize("name", shipped())
def test_shipped_policies_load_and_pass_their_cases(name: str) -> None:
    judge: Policy = load(name, registered())
    assert isinstance(judge, LoadedPolicy)
    results = run(load_test(GATES / f"{name}.test.yaml"), judge)
    assert {r.case.name: r.differences for r in results if r.differences} == {}
    seen = {(x.rule, x.status) for r in results for x in r.verdict.results}
    written = validated_rules(name)
    for one in judge.rules:
        if one.effect != "note" and one.id in written:
            assert {(one.id, RuleStatus.PASS), (one.id, RuleStatus.FAIL)} <= seen, f"{one.id} is not shown to pass and to fail"


def test_every_plugin_is_required_by_the_default_policy(default: LoadedPolicy) -> None:
    off = {k for k, p in discover(scanners, Scanner).items() if isinstance(p, Voice) and p.engine not in Settings().voices}
    assert set(default.document.spec.requires) == set(registered().plugins) - off


def approving() -> Dossier:
    return dossier_of(load_test(GATES / "default.test.yaml").spec.baseline, Evidence(), registered())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_missing_evidence_never_approves(default: LoadedPolicy, data: st.DataObject) -> None:
    whole = approving()
    assert default.decide(whole, on=ON, intent=Intent()).decision is Decision.APPROVE
    lost = data.draw(st.sets(st.sampled_from([c.id for c in whole.checks if c.id in default.document.spec.requires]), min_size=1))
    how = data.draw(st.sampled_from([None, *GAPS]))
    checks = tuple(
        c.model_copy(update={"outcome": how}) if c.id in lost else c for c in whole.checks if how is not None or c.id not in lost
    )
    assert default.decide(whole.model_copy(update={"checks": checks}), on=ON, intent=Intent()).decision is not Decision.APPROVE


@pytest.mark.parametrize("index", range(3))
def test_a_lost_measurement_never_approves(default: LoadedPolicy, index: int) -> None:
    whole = approving()
    counted = [m for m in whole.measurements if m.metric != "bits-per-byte"]
    left = tuple(m for m in whole.measurements if m is not counted[index])
    assert default.decide(whole.model_copy(update={"measurements": left}), on=ON, intent=Intent()).decision is Decision.REVIEW


def test_the_empty_dossier_is_never_approved(default: LoadedPolicy) -> None:
    verdict = default.decide(Dossier(composition=composition()), on=ON, intent=Intent())
    assert verdict.decision is Decision.REVIEW
    assert RuleStatus.PASS not in {r.status for r in verdict.results}
