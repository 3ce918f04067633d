"""What pipelines read: SARIF, JUnit, GitLab, badge; over every sample, and over models without a verdict."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from governance.verdict import RuleStatus
from reports._ci.results import Entry, Failure, Place, results
from reports._render.words import visible
from reports.badge import PLUGIN as BADGE
from reports.gitlab import issues
from reports.junit import suites
from reports.sarif import log
from tests.scorecards import SCORECARDS

TROUBLED = {RuleStatus.FAIL, RuleStatus.UNKNOWN, RuleStatus.WAIVED}
FAILED = Failure("acme/gone", "there is no acme/gone; check the name", Place("models.lock", 7))


@pytest.mark.parametrize("name", SCORECARDS)
def test_every_rule_is_a_case_and_every_trouble_an_alert(name: str) -> None:
    card = SCORECARDS[name]
    entry = Entry(card, Place("models.lock", 3))
    run = json.loads(log([entry]))["runs"][0]
    ids = [r["id"] for r in run["tool"]["driver"]["rules"]]
    assert ids == list(dict.fromkeys(visible(r.rule, 120) for r in card.verdict.results))
    assert [r["ruleId"] for r in run["results"]] == [visible(r.rule, 120) for r in card.verdict.results if r.status in TROUBLED]
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]
        assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("models.lock", 3)
    suite = ET.fromstring(suites([entry])).find("testsuite")
    assert suite is not None
    states = [r.status for r in card.verdict.results]
    assert int(suite.get("tests", "")) == len(states) == len(suite.findall("testcase"))
    assert int(suite.get("failures", "")) == states.count(RuleStatus.FAIL)
    assert int(suite.get("errors", "")) == states.count(RuleStatus.UNKNOWN)
    policy = visible(card.verdict.policy, 120)
    counted = [r for r in card.verdict.results if r.status in (RuleStatus.FAIL, RuleStatus.UNKNOWN)]
    assert [i["check_name"] for i in json.loads(issues([entry]))] == [f"{policy}/{visible(r.rule, 120)}" for r in counted]
    assert card.verdict.decision.value.encode() in BADGE.render(card)


def test_an_alert_keeps_its_identity_from_run_to_run() -> None:
    card = SCORECARDS["reject-pickle"]
    later = card.model_copy(update={"run_id": "01JD7XK3QZT0V5M9W2A8C4E6ZZ", "seconds": 1.0})
    reworded = [r.model_copy(update={"reason": "other words"}) for r in card.verdict.results]
    later = later.model_copy(update={"verdict": later.verdict.model_copy(update={"results": tuple(reworded)})})
    prints = [[r.fingerprint for r in results([Entry(c, p)])] for c, p in ((card, None), (later, Place("x", 9)))]
    assert prints[0] == prints[1]
    assert len(set(prints[0])) == len(prints[0])
    other = {r.fingerprint for r in results([Entry(SCORECARDS["no-base"])])}
    assert not other & set(prints[0])


def test_a_model_without_a_verdict_is_in_every_file() -> None:
    run = json.loads(log([], [FAILED]))["runs"][0]
    assert run["invocations"][0]["executionSuccessful"] is False
    assert [(r["ruleId"], r["level"]) for r in run["results"]] == [("no-verdict", "error")]
    assert b'errors="1"' in suites([], [FAILED])
    assert [i["severity"] for i in json.loads(issues([], [FAILED]))] == ["blocker"]


def test_hostile_text_stays_text() -> None:
    entry = Entry(SCORECARDS["hostile"])
    for document in (log([entry]), suites([entry]), issues([entry]), BADGE.render(SCORECARDS["hostile"])):
        text = document.decode()
        assert "\u202e" not in text
        assert "\x1b" not in text
        assert "<script" not in text.replace("&lt;script", "") or text.startswith(("{", "["))
    ET.fromstring(BADGE.render(SCORECARDS["hostile"]))


def test_another_parser_reads_junit(tmp_path: Path) -> None:
    junitparser = pytest.importorskip("junitparser")
    path = tmp_path / "c.xml"
    path.write_bytes(suites([Entry(c) for c in SCORECARDS.values()]))
    read = junitparser.JUnitXml.fromfile(str(path))
    assert len(list(read)) == len(SCORECARDS)
    assert sum(s.failures for s in read) == sum(r.status is RuleStatus.FAIL for c in SCORECARDS.values() for r in c.verdict.results)


def test_another_parser_reads_sarif(tmp_path: Path) -> None:
    loader = pytest.importorskip("sarif.loader", reason="sarif-tools is not installed")
    path = tmp_path / "c.sarif"
    path.write_bytes(log([Entry(c) for c in SCORECARDS.values()]))
    read = loader.load_sarif_file(str(path))
    assert read.get_result_count() == sum(r.status in TROUBLED for c in SCORECARDS.values() for r in c.verdict.results)
