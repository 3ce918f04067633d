"""The compliance report: dated rules, facts that are where it says, gaps that stay open, and no claim that anything conforms."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import evaluators
import scanners
from governance.contracts import Evaluator, Scanner
from governance.evidence import Metric
from governance.plugins import discover
from governance.subject import Description
from reports._compliance.evidence import Missing, gather
from reports._compliance.form import DISCLAIMER, forms
from reports._compliance.rules import rule_sets
from reports.compliance_html import PLUGIN as HTML
from reports.compliance_json import PLUGIN as JSON
from tests.scorecards import SCORECARDS
from tests.test_goldens import Page

SELECTORS = sorted({s for rules in rule_sets() for item in rules.items for s in item.evidence})


def lines(name: str) -> list[dict[str, Any]]:
    return [line for rules in json.loads(JSON.render(SCORECARDS[name]))["rule_sets"] for line in rules["items"]]


def at(document: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def test_every_rule_set_is_dated_versioned_and_has_a_source() -> None:
    assert {r.id for r in rule_sets()} >= {
        "eu-ai-act-annex-iv", "eu-gpai-documentation", "nist-ai-rmf", "iso-iec-42001", "bank-model-risk"
    }  # fmt: skip
    for rules in rule_sets():
        assert rules.effective
        codes = [item.code for item in rules.items]
        assert len(set(codes)) == len(codes)
        assert all(item.evidence or item.person for item in rules.items)


@pytest.mark.parametrize("selector", SELECTORS)
def test_every_selector_names_something_there_is(selector: str) -> None:
    plugins = {**discover(scanners, Scanner), **discover(evaluators, Evaluator)}
    metrics = {d.id for p in plugins.values() for d in p.declares if isinstance(d, Metric)}
    head, _, tail = selector.partition("/")
    known = {"checks": set(plugins), "findings": set(plugins), "measurements": metrics, "said": set(Description.model_fields)}
    assert tail in known.get(head, {tail})
    for card in SCORECARDS.values():
        assert gather(card, selector)


@pytest.mark.parametrize("name", SCORECARDS)
def test_every_fact_is_where_it_says(name: str) -> None:
    card = json.loads(SCORECARDS[name].model_dump_json())
    paths = {fact["path"] for line in lines(name) for fact in line["facts"]}
    assert paths
    for path in paths:
        at(card, path)


@pytest.mark.parametrize("name", SCORECARDS)
def test_unknown_is_never_filled(name: str) -> None:
    for line in lines(name):
        assert (line["state"] == "open") == (not line["facts"])
        assert (line["state"] == "filled") == bool(line["facts"] and not line["person"] and not line["missing"])
        assert line["facts"] or line["missing"] or line["person"]
    unmeasured = [line for line in lines("no-base") if any("retention" in m["reason"] for m in line["missing"])]
    assert unmeasured
    assert not any("retention on" in fact["says"] for line in unmeasured for fact in line["facts"])


def test_a_check_that_did_not_get_to_its_end_found_nothing_is_no_fact() -> None:
    partial = gather(SCORECARDS["review"], "findings/license-terms")
    assert [type(p) for p in partial] == [Missing]
    assert "stopped after 300 s" in str(partial)
    clean = gather(SCORECARDS["approve"], "findings/model-card")
    assert any("reported nothing" in str(c) for c in clean)
    assert gather(SCORECARDS["approve"], "findings/model-signature") == (
        Missing("checks/model-signature", "model-signature was not asked"),
    )


def test_nothing_is_said_to_conform() -> None:
    for card in SCORECARDS.values():
        for rendered in (HTML.render(card).decode(), JSON.render(card).decode()):
            said = rendered.replace(DISCLAIMER, "")
            assert not re.search(
                r"\b(is|are|fully) (compliant|in compliance|conformant)\b|\bcomplies\b|\bconforms\b", said, re.IGNORECASE
            )
            assert "does not say, and cannot say" in rendered.replace("&#39;", "'")


def test_an_old_rule_set_is_told() -> None:
    card = SCORECARDS["approve"]
    later = card.model_copy(update={"created": card.created.replace(year=card.created.year + 1)})
    assert not any("days before" in w for f in forms(card) for w in f.warnings)
    assert all(any("days before" in w for w in f.warnings) for f in forms(later))


@pytest.mark.parametrize("name", SCORECARDS)
def test_the_page_is_whole_asks_nobody_and_runs_nothing(name: str) -> None:
    page = Page(HTML.render(SCORECARDS[name]).decode())
    assert page.open == []
    assert not page.tags & {"script", "img", "iframe", "object", "embed", "link", "base", "form", "svg"}
    assert [k for k, _ in page.attributes if k.startswith("on") or k in ("style", "src")] == []
    links = [v for k, v in page.attributes if k == "href"]
    assert {v[1:] for v in links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert page.tags >= {"main", "nav", "h1", "h2", "h3"}


def test_a_hostile_subject_gets_no_markup() -> None:
    rendered = HTML.render(SCORECARDS["hostile"]).decode()
    assert "<script" not in rendered
    assert "\u202e" not in rendered


def test_no_line_for_a_person_is_half_a_sentence() -> None:
    for rules in rule_sets():
        for item in rules.items:
            assert not any(re.match(r"(and|or|with|by|on|which) ", text) for text in item.person), item
