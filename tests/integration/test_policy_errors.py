"""Wrong policy files, each with the message a person gets."""

# ruff: noqa: E501 - rows of a table

from __future__ import annotations

from pathlib import Path

import pytest

from governance.errors import PolicyError
from policies.loader import GATES, load, shipped
from tests.unit.policy_words import HEAD, NO_BAD_FILE, VOCABULARY

SMALL = HEAD + "  rules:\n" + NO_BAD_FILE
GOOD = 'findings["alpha"].all(f, f.rule != "bad-file")'
TEXT_MADE_LONG = "# " + "x" * 256 * 1024 + "\n"


def refused(folder: Path, text: str) -> PolicyError:
    """Return the error a file with this text gives."""
    path = folder / "small.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError) as caught:
        load(path, VOCABULARY)
    return caught.value


def test_the_small_policy_is_sound(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    assert load(tmp_path / "small.yaml", VOCABULARY).id == "small"


EXACT = {
    "unknown field": (
        "severity: high",
        "severty: high",
        "small.yaml:8:7: error[P002] unknown field 'severty'; did you mean 'severity'?\n"
        "    8 |       severty: high\n"
        "      |       ^",
    ),
    "type error in an expression": (
        GOOD,
        'measurements["skill/general"].value > 1',
        "small.yaml:10:55: error[P102] no-bad-file: > does not take (double, int)\n"
        '   10 |       expression: measurements["skill/general"].value > 1\n'
        "      |                                                       ^ write 1.0, not 1, beside a double",
    ),
    "unknown field in an expression": (
        GOOD,
        'checks["alpha"].outcom == "completed"',
        "small.yaml:10:35: error[P103] no-bad-file: Check has no field 'outcom'; did you mean 'outcome'?\n"
        '   10 |       expression: checks["alpha"].outcom == "completed"\n'
        "      |                                   ^ fields: outcome reason isolation step",
    ),
    "field error in a folded expression": (
        GOOD,
        '>-\n        findings["alpha"].size() == 0\n        && findings["beta"].all(f, f.rul != "bad-code")',
        "small.yaml:12:38: error[P103] no-bad-file: Finding has no field 'rul'; did you mean 'rule'?\n"
        '   12 |         && findings["beta"].all(f, f.rul != "bad-code")\n'
        "      |                                      ^ fields: rule severity confidence basis path message subject",
    ),
    "column behind a doubled quote": (
        GOOD,
        """'"it''s" != "" && findings["alpha"].siz() == 0'""",
        "small.yaml:10:55: error[P104] no-bad-file: 'siz' is not known here; did you mean 'size'?\n"
        """   10 |       expression: '"it''s" != "" && findings["alpha"].siz() == 0'\n"""
        "      |                                                       ^",
    ),
    "unknown plug-in": (
        GOOD,
        'findings["alhpa"].size() == 0',
        "small.yaml:10:28: error[P110] no-bad-file: there is no plug-in 'alhpa'; did you mean 'alpha'?\n"
        '   10 |       expression: findings["alhpa"].size() == 0\n'
        "      |                            ^",
    ),
    "policy that cannot fail": (
        "effect: reject",
        "effect: note",
        "small.yaml:5:3: error[P204] this policy cannot fail: every rule is a note; at least one must reject or ask for review\n"
        "    5 |   rules:\n"
        "      |   ^",
    ),
}


@pytest.mark.parametrize(("old", "new", "message"), EXACT.values(), ids=EXACT)
def test_exact_messages(tmp_path: Path, old: str, new: str, message: str) -> None:
    error = refused(tmp_path, SMALL.replace(old, new))
    assert error.message == message
    assert (error.line, error.column) == tuple(int(n) for n in message.split(":")[1:3])


FIRST_LINES = {
    "syntax error": (GOOD, 'findings["alpha"].size(', "10:42: error[P101] no-bad-file: not CEL: mismatched input '<EOF>'"),
    "not a bool": (GOOD, 'findings["alpha"].size()', "10:19: error[P102] no-bad-file: the expression gives int, a bool is needed"),
    "unknown name": (GOOD, 'intnt.use == "research"', "10:19: error[P104] no-bad-file: 'intnt.use' is not known here; did you mean 'intent'?"),
    "unknown rule": ("bad-file\")", "bad-fil\")", "10:54: error[P110] no-bad-file: there is no rule of alpha 'bad-fil'; did you mean 'bad-file'?"),
    "rule of another plug-in": ("bad-file\")", "bad-code\")", "10:54: error[P110] no-bad-file: there is no rule of alpha 'bad-code'; did you mean 'bad-file'?"),
    "unknown metric": (GOOD, 'measurements["skil/general"].value > 0.0', "10:32: error[P110] no-bad-file: there is no metric 'skil'; did you mean 'skill'?"),
    "metric without a scope": (GOOD, "measurements.skill.value > 0.0", "10:31: error[P110] no-bad-file: a measurement is named metric/scope, such as skill/general or skill/*"),
    "unknown severity word": (GOOD, 'findings["alpha"].all(f, f.severity != "hihg")', "10:58: error[P110] no-bad-file: there is no severity 'hihg'; did you mean 'high'?"),
    "reads no evidence": (GOOD, 'intent.use == "research"', "10:19: error[P201] no-bad-file reads no evidence: it would pass whatever was found"),
    "whole evidence map": (GOOD, 'findings.all(k, findings[k].size() == 0)', "10:19: error[P202] no-bad-file: findings is read by a literal key only, such as findings[\"…\"]"),
    "key looked for": (GOOD, 'true && !("alpha" in findings)', "10:40: error[P202] no-bad-file: findings is read by a literal key only, such as findings[\"…\"]"),
    "guarded evidence": (GOOD, 'has(measurements["skill/general"].low)', "10:22: error[P205] no-bad-file: has() may not guard evidence: what is missing must stay visible"),
    "true without evidence": (GOOD, 'true || findings["alpha"].size() == 0', "10:19: error[P203] no-bad-file is true without findings[\"alpha\"] (|| hides the gap); put the exception into when"),
    "true whatever is found": (GOOD, 'findings["alpha"].size() >= 0', "5:3: error[P204] this policy cannot fail: no rule of it is false for any evidence tried"),
    "approve as an effect": ("effect: reject", "effect: approve", "9:15: error[P003] effect: 'approve' is not 'reject', 'review' or 'note'"),
    "unknown that approves": ("spec:\n", "spec:\n  onUnknown: approve\n", "5:14: error[P003] onUnknown: 'approve' is not 'reject' or 'review'"),
    "unknown severity": ("severity: high", "severity: hihg", "8:17: error[P003] severity: 'hihg' is not one of critical, high, medium, low, info; did you mean 'high'?"),
    "no rules": ("  rules:\n" + NO_BAD_FILE, "  rules: []\n", "4:1: error[P003] rules: at least one is needed"),
    "missing field": ("      title: No bad file\n", "", "6:7: error[P003] the field 'title' is missing"),
    "version as a number": ("1.0.0", "1.0", "3:34: error[P003] version: text is needed, this reads as a number; write it in quotes"),
    "margin in percent": ("spec:\n", "spec:\n  margins: {general: 5}\n", "5:12: error[P003] margins: a margin is a share between 0 and 1"),
    "param of another type": ("spec:\n", "spec:\n  params: {most: {type: double, value: much}}\n", "5:18: error[P003] most: the value is no double"),
    "variable that shadows": ("spec:\n", "spec:\n  variables: [{name: findings, expression: 'true'}]\n", "5:22: error[P003] name: 'findings' is already the name of what a rule reads"),
    "required plug-in": ("spec:\n", "spec:\n  requires: [alpha, gamma]\n", "5:21: error[P110] requires: there is no plug-in 'gamma'"),
    "unpinned waiver": ("spec:\n", "spec:\n  waivers: [{id: w, rule: r, reason: x, owner: a, approvedBy: b, created: 2026-01-01, expires: 2026-02-01, subject: {repo: a/b}}]\n", "5:117: error[P003] subject: a waiver pins repo and commit, or a composition digest"),
    "extends what is not there": ("metadata: {", "metadata: {extends: [defualt], ", "3:22: error[P304] extends: defualt cannot be used"),
    "loosens without a parent": ("spec:\n", "spec:\n  loosens: [{rule: x, reason: why, owner: me}]\n", "5:3: error[P302] loosens speaks of inherited rules, and nothing is inherited: name a policy under metadata.extends"),
    "share written as percent": (GOOD, 'measurements["share/general"].high <= 5.0', "10:19: error[P206] no-bad-file cannot fail: no value of measurements[\"share/general\"] makes it false; it is a share between -1 and 1: write 0.05 for five percent"),
    "waiver without an owner": ("spec:\n", "spec:\n  waivers: [{id: w, rule: no-bad-file, reason: x, approvedBy: b, created: 2026-01-01, expires: 2026-02-01, subject: {repo: a/b, commit: '0123456789abcdef0123456789abcdef01234567'}}]\n", "5:13: error[P003] the field 'owner' is missing"),
    "age of evidence": ("spec:\n", "spec:\n  maxEvidenceAge: 90 days\n", "5:19: error[P003] maxEvidenceAge: '90 days' does not have the form ^[1-9][0-9]{0,4}[dh]$"),
    "same key twice": ("severity: high", "severity: high\n      severity: low", "9:7: error[P001] the key 'severity' is written twice"),
    "alias": ("effect: reject", "effect: &e reject", "9:15: error[P001] anchors and aliases are not allowed: write the value out"),
    "tag": ("effect: reject", "effect: !!python/name:os.system reject", "9:15: error[P001] tags such as tag:yaml.org,2002:python/name:os.system are not allowed"),
    "not YAML": ("spec:\n", "spec: [\n", "6:5: error[P001] not YAML: expected the node content, but found '-'"),
    "two documents": ("apiVersion", "---\na: 1\n---\napiVersion", "3:1: error[P001] a file holds one document"),
    "too deep": ("severity: high", "severity: " + "[" * 40 + "]" * 40, "8:45: error[P001] nested deeper than 32 levels"),
    "too large": ("apiVersion", TEXT_MADE_LONG + "apiVersion", "1:1: error[P001] the file is larger than 256 KiB"),
    "another kind": ("ModelPolicy", "PolicyTest", "2:7: error[P003] kind: 'PolicyTest' is not 'ModelPolicy'"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "start"), FIRST_LINES.values(), ids=FIRST_LINES)
def test_first_lines(tmp_path: Path, old: str, new: str, start: str) -> None:
    assert old in SMALL
    assert refused(tmp_path, SMALL.replace(old, new, 1)).message.splitlines()[0].startswith(f"small.yaml:{start}")


def test_all_faults_come_together_in_order(tmp_path: Path) -> None:
    second = NO_BAD_FILE.replace("id: no-bad-file", "id: again").replace("f.rule", "f.rul")
    error = refused(tmp_path, SMALL.replace(GOOD, 'findings["alhpa"].size() == 0') + second)
    heads = [line for line in error.message.splitlines() if line.startswith("small.yaml:")]
    assert [h.split(" ")[0] for h in heads] == ["small.yaml:10:28:", "small.yaml:15:46:"]


@pytest.mark.parametrize("text", ["", "just words\n", "- a\n- b\n"])
def test_a_file_that_is_no_document(tmp_path: Path, text: str) -> None:
    assert "a ModelPolicy document is needed here" in refused(tmp_path, text).message


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyError, match="is not UTF-8 text"):
        load(tmp_path / "small.yaml", VOCABULARY)


def test_a_name_nobody_ships() -> None:
    with pytest.raises(PolicyError, match="there is no policy 'defualt'; did you mean 'default'"):
        load("defualt", VOCABULARY)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_policy_has_cases(name: str) -> None:
    assert (GATES / f"{name}.test.yaml").is_file()
