"""Runs the cases of the scanners over meaning: configuration, values, code, template, card, license.

A case says what is ``build``-t (``adapter``: a composition of ``tests.builders_adapters``), what is expected at least
(``expect``), exactly (``expect_only``) or not at all (``expect_not``), and how far coverage goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import scanners
from governance.context import RunContext
from governance.contracts import Scanner
from governance.evidence import Component, Coverage, Finding
from governance.plugins import discover
from tests.builders_adapters import composition, with_licenses

CASES = Path(__file__).resolve().parents[1] / "cases"
SCANNERS = discover(scanners, Scanner)
IDS = ("adapter-config", "weight-values", "chat-template", "model-card", "license-terms")
ALL = [(name, case) for name in IDS for case in yaml.safe_load((CASES / f"{name}.yaml").read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("name", "case"), ALL, ids=[f"{n}: {c['name']}" for n, c in ALL])
def test_case(name: str, case: dict[str, Any], ctx: RunContext) -> None:
    given = dict(case["args"])
    ctx = with_licenses(ctx, given.pop("use", None))
    subject = composition(given.pop("adapter"), given.pop("base", None), ctx, **given)
    said = list(SCANNERS[name].scan(subject, ctx)) if SCANNERS[name].wants(subject) else []
    assert said == (list(SCANNERS[name].scan(subject, ctx)) if said else [])
    findings = [s for s in said if isinstance(s, Finding)]
    assert all(isinstance(s, Finding | Coverage | Component) for s in said)
    assert {f.rule for f in findings} <= {d.id for d in SCANNERS[name].declares}
    for expected in (*case.get("expect", ()), *case.get("expect_only", ())):
        assert any(fits(f, expected) for f in findings), (expected, findings)
    for unwanted in case.get("expect_not", ()):
        assert not any(fits(f, unwanted) for f in findings), (unwanted, findings)
    if "expect_only" in case:
        assert len(findings) == len(case["expect_only"]), findings
    covered = {s.item: s.outcome.value for s in said if isinstance(s, Coverage)}
    assert {item: covered.get(item, "absent") for item in case.get("coverage", {})} == case.get("coverage", {})


def fits(finding: Finding, expected: Mapping[str, str]) -> bool:
    where = expected.get("path")
    return (
        finding.rule == expected["rule"]
        and finding.severity.value == expected.get("severity", finding.severity.value)
        and (where is None or any(place.path == where for place in finding.locations))
    )


@pytest.mark.parametrize("name", IDS)
def test_every_rule_has_a_case(name: str) -> None:
    cases = [case for owner, case in ALL if owner == name]
    named = {e["rule"] for case in cases for key in ("expect", "expect_only") for e in case.get(key, ())}
    assert {d.id for d in SCANNERS[name].declares} <= named
