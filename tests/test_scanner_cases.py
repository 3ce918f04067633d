"""Runs ``tests/cases/<scanner-id>.yaml``: each case builds a real composition and says what the scanner must report.

A case has ``name``, ``build``, ``args``, and ``expect`` (each must be found), ``expect_only`` (exactly these), ``expect_not``
(none of these) ``coverage`` (outcome by item, or ``absent``) and ``needs``, a package without which it is
skipped. An expectation gives ``rule`` and, where it matters,
``severity``, ``path``, ``entry``, ``opcode``, ``tensor`` and ``says``, a piece of the message.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import scanners
from governance.context import RunContext
from governance.contracts import Scanner, Voice
from governance.evidence import Coverage, Fact, Finding, Measurement, Rule
from governance.plugins import discover
from tests.builders_adapters import with_licenses
from tests.recipes import build

SCANNERS = discover(scanners, Scanner)
FOLDER = Path(__file__).with_name("cases")
FIELDS = {"name", "build", "args", "needs", "expect", "expect_only", "expect_not", "coverage"}
CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}: {case['name']}")
    for path in sorted(FOLDER.glob("*.yaml"))
    for case in yaml.safe_load(path.read_text(encoding="utf-8"))
]


def matches(finding: Finding, wanted: dict[str, object]) -> bool:
    """Return whether a finding is the wanted one."""
    place = finding.locations[0] if finding.locations else None
    seen = {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "path": place.path if place else None,
        "entry": list(place.entry) if place else None,
        "opcode": place.opcode if place else None,
        "tensor": place.tensor if place else None,
    }
    assert set(wanted) <= {*seen, "says"}, f"unknown expectation {wanted}"
    return all(seen[k] == v for k, v in wanted.items() if k != "says") and str(wanted.get("says", "")) in finding.message


def scan(scanner: str, case: dict[str, dict[str, object]], ctx: RunContext) -> list[Fact | Coverage]:
    """Return everything the scanner says of the case's composition."""
    if "needs" in case and find_spec(str(case["needs"])) is None:
        pytest.skip(f"{case['needs']} is not installed")
    use = case["args"].get("use")
    ctx = with_licenses(ctx, str(use) if use else None)
    trusted = case["args"].get("trusted")
    ctx = replace(ctx, trusted_publishers=tuple(map(str, trusted)) if isinstance(trusted, list) else ())
    composition = build(str(case["build"]), case["args"], ctx)
    plugin = SCANNERS[scanner]
    return list(plugin.scan(composition, ctx)) if plugin.wants(composition) else []


@pytest.mark.parametrize(("scanner", "case"), CASES)
def test_case(scanner: str, case: dict[str, dict[str, object]], ctx: RunContext) -> None:
    assert set(case) <= FIELDS
    said = scan(scanner, case, ctx)
    findings = [s for s in said if isinstance(s, Finding)]
    shown = "\n".join(f"{f.severity} {f.rule} {'; '.join(map(str, f.locations))}: {f.message}" for f in findings) or "nothing"
    for wanted in case.get("expect", ()):
        assert any(matches(f, wanted) for f in findings), f"{wanted} is not among\n{shown}"
    for wanted in case.get("expect_not", ()):
        assert not any(matches(f, wanted) for f in findings), f"{wanted} is among\n{shown}"
    if "expect_only" in case:
        left = list(findings)
        for wanted in case["expect_only"]:
            hit = next((f for f in left if matches(f, wanted)), None)
            assert hit, f"{wanted} is not among\n{shown}"
            left.remove(hit)
        assert not left, f"more than expected:\n{shown}"
    coverage = {s.item: s.outcome.value for s in said if isinstance(s, Coverage)}
    for item, outcome in case.get("coverage", {}).items():
        assert coverage.get(item, "absent") == outcome, coverage
    assert {f.rule for f in findings} <= {d.id for d in SCANNERS[scanner].declares}


@pytest.mark.parametrize("scanner", SCANNERS)
def test_every_scanner_has_cases_of_each_kind(scanner: str) -> None:
    path = FOLDER / f"{scanner}.yaml"
    assert path.is_file(), f"write {path.name}: a hostile, a clean and a truncated case"
    cases = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert any(case.get("expect") or case.get("expect_only") for case in cases), "no hostile case"
    assert any(case.get("expect_only") == [] for case in cases) or any(case.get("expect_not") for case in cases), "no clean case"


@pytest.mark.parametrize(("scanner", "case"), CASES[:: max(1, len(CASES) // 40)])
def test_the_same_bytes_give_the_same_facts(scanner: str, case: dict[str, dict[str, object]], ctx: RunContext) -> None:
    first, second = scan(scanner, case, ctx), scan(scanner, case, ctx)
    assert first == second
    assert not any(isinstance(s, Measurement) and s.value != s.value for s in first)


@pytest.mark.parametrize("scanner", [k for k, p in SCANNERS.items() if not isinstance(p, Voice)])
def test_every_rule_has_a_case(scanner: str) -> None:
    cases = yaml.safe_load((FOLDER / f"{scanner}.yaml").read_text(encoding="utf-8"))
    named = {wanted.get("rule") for case in cases for key in ("expect", "expect_only") for wanted in case.get(key, ())}
    assert {d.id for d in SCANNERS[scanner].declares if isinstance(d, Rule)} <= named
