"""What a policy may change of what it inherits: tighten freely, loosen by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from governance.errors import PolicyError
from governance.licensing import Intent
from policies.difference import compared
from policies.loader import LoadedPolicy, assert_waivers_stand, load, load_recorded
from tests.unit.policy_words import VOCABULARY, rule
from tests.unit.test_policies import ON, dossier

PARENT = """\
apiVersion: curator/v1
kind: ModelPolicy
metadata: {name: parent, version: 1.0.0, owner: owner@example.org}
spec:
  onUnknown: review
  maxEvidenceAge: 60d
  margins: {general: 0.05}
  params: {most: {type: double, value: 0.1, stricter: lower}, word: {type: string, value: x}}
  requires: [alpha]
  rules:
    - {id: no-bad-file, title: No bad file, severity: high, effect: review, expression: 'findings["alpha"].size() == 0'}
    - {id: rate, title: Rate is low, severity: high, effect: reject, expression: 'measurements["rate/worst"].high <= params.most'}
"""
HEAD = """\
apiVersion: curator/v1
kind: ModelPolicy
metadata: {name: child, version: 1.0.0, owner: o@example.org, extends: [parent.yaml]}
spec:
"""


def child(folder: Path, spec: str, parent: str = PARENT) -> LoadedPolicy:
    (folder / "parent.yaml").write_text(parent)
    (folder / "child.yaml").write_text(HEAD + spec)
    return load(folder / "child.yaml", VOCABULARY)


def test_everything_is_inherited_and_hashed(tmp_path: Path) -> None:
    made = child(tmp_path, "  requires: [beta]\n")
    spec = made.document.spec
    assert [r.id for r in made.rules] == ["no-bad-file", "rate"]
    assert (spec.on_unknown, spec.max_evidence_age, spec.margins) == ("review", "60d", {"general": 0.05})
    assert spec.requires == ("beta", "alpha")
    assert made.document.metadata.extends == ()
    other = child(tmp_path, "  requires: [beta]\n", PARENT.replace("value: 0.1", "value: 0.2"))
    assert other.digest != made.digest


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("  onUnknown: reject\n", "onUnknown"),
        ("  maxEvidenceAge: 30d\n", "maxEvidenceAge"),
        ("  margins: {general: 0.02}\n", "margin general"),
        ("  params: {most: {type: double, value: 0.05}}\n", "param most"),
        ("  effects: {no-bad-file: reject}\n", "rule no-bad-file"),
    ],
)
def test_stricter_needs_no_word(tmp_path: Path, spec: str, kind: str) -> None:
    made = child(tmp_path, spec)
    lines = compared(load(tmp_path / "parent.yaml", VOCABULARY).document, made.document)
    assert [(x.kind, x.what) for x in lines] == [("tightened", kind)]


LOOSER = {
    "setting": ("  maxEvidenceAge: 90d\n", "{setting: maxEvidenceAge, reason: r, owner: o}"),
    "margin": ("  margins: {general: 0.1}\n", "{margin: general, reason: r, owner: o}"),
    "param": ("  params: {most: {type: double, value: 0.2}}\n", "{param: most, reason: r, owner: o}"),
    "param without a direction": ("  params: {word: {type: string, value: y}}\n", "{param: word, reason: r, owner: o}"),
    "param whose direction is turned round": (
        "  params: {most: {type: double, value: 0.1, stricter: higher}}\n",
        "{param: most, reason: r, owner: o}",
    ),
    "rule": ("  rules:\n" + rule('findings["beta"].size() == 0', id="no-bad-file"), "{rule: no-bad-file, reason: r, owner: o}"),
}


@pytest.mark.parametrize(("spec", "word"), LOOSER.values(), ids=LOOSER)
def test_weaker_needs_a_word_with_a_name_under_it(tmp_path: Path, spec: str, word: str) -> None:
    with pytest.raises(PolicyError, match=r"error\[P301\].*loosens"):
        child(tmp_path, spec)
    assert child(tmp_path, f"  loosens: [{word}]\n{spec}").id == "child"


def test_a_rule_may_be_left_out_by_name(tmp_path: Path) -> None:
    made = child(tmp_path, "  loosens: [{rule: no-bad-file, reason: r, owner: o}]\n")
    assert [r.id for r in made.rules] == ["rate"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("  loosens: [{rule: no-such, reason: r, owner: o}]\n", "P302"),
        ("  loosens: [{rule: rate, param: most, reason: r, owner: o}]\n", "name one of rule, param, margin and setting"),
        ("  loosens: [{rule: rate, reason: r}]\n", "the field 'owner' is missing"),
        ("  effects: {rats: reject}\n", "did you mean 'rate'"),
        ("  effects: {rate: note}\n", "is weaker"),
        ("  params: {most: {type: int, value: 1}}\n", "it is a double where it comes from"),
    ],
)
def test_wrong_inheritance_is_refused_with_its_place(tmp_path: Path, spec: str, said: str) -> None:
    with pytest.raises(PolicyError) as caught:
        child(tmp_path, spec)
    assert said in caught.value.message
    assert caught.value.message.startswith("child.yaml:5:")


def test_a_circle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="P304"):
        child(tmp_path, "  requires: [alpha]\n", HEAD.replace("parent.yaml", "child.yaml") + "  requires: [alpha]\n")


def test_a_fault_of_the_parent_is_shown(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="unknown field 'efect'"):
        child(tmp_path, "  requires: [alpha]\n", PARENT.replace("effect: review", "efect: review"))


def test_a_recorded_policy_judges_as_it_did(tmp_path: Path) -> None:
    made = child(tmp_path, "  onUnknown: reject\n")
    again = load_recorded(made.recorded, VOCABULARY)
    assert again.digest == made.digest
    facts = dossier()
    assert again.decide(facts, on=ON, intent=Intent()) == made.decide(facts, on=ON, intent=Intent())


def test_lint_refuses_a_waiver_that_does_nothing(tmp_path: Path) -> None:
    waiver = (
        "  waivers:\n    - {id: w, rule: rate, reason: x, owner: a@x, approvedBy: b@x, created: 2026-01-01, expires: 2026-02-01,"
        f" subject: {{composition: {'a' * 64}}}}}\n"
    )
    made = child(tmp_path, waiver)
    with pytest.raises(PolicyError, match=r"child.yaml:6:7: error\[P401\] waiver w does nothing: it expired on 2026-02-01; renew"):
        assert_waivers_stand(tmp_path / "child.yaml", made, ON.date())
