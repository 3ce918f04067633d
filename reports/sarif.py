"""SARIF 2.1.0, for code scanning pages: one result for each rule that failed, was waived or could not be decided."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from pydantic import JsonValue

from governance import VERSION
from governance.evidence import Location
from governance.verdict import RuleResult, RuleStatus, Scorecard
from reports._ci.results import NO_VERDICT, NOWHERE, SCORES, TROUBLE, Entry, Failure, Place, Result, results
from reports._render.words import visible

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
#: Name of the fingerprint; its number changes if what it is made of does.
_FINGERPRINT = "curatorRuleComposition/v1"


class Sarif:
    """Rules as code scanning alerts; an alert keeps its identity from run to run."""

    id = "sarif"
    version = "1"
    media_type = "application/sarif+json"
    suffix = ".sarif"

    def render(self, card: Scorecard) -> bytes:
        """Return one log with one run as UTF-8 JSON."""
        return log([Entry(card)])


def log(entries: Sequence[Entry], failures: Sequence[Failure] = ()) -> bytes:
    """Return several verdicts as one log.

    Args:
        entries: Scorecards, each with the line that names its model.
        failures: Models without a verdict; the run then counts as not successful, and each is an alert of its own.

    Returns:
        UTF-8 JSON: one run, rules by id, results in the order of the policy.

    Source:
        SARIF 2.1.0 with errata 01 (OASIS), sections 3.13, 3.14, 3.27, 3.35; GitHub's list of supported properties.
    """
    found = results(entries)
    rules = {r.rule.rule: r for r in found}
    numbers = {name: number for number, name in enumerate(rules)}
    document: JsonValue = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "model curator",
                        "semanticVersion": VERSION,
                        "informationUri": "https://pypi.org/project/model-curator/",
                        "rules": [*(_rule(r) for r in rules.values()), *([_NO_VERDICT] if failures else [])],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [
                    *(_reported(r, numbers[r.rule.rule]) for r in found if r.rule.status in TROUBLE),
                    *(_unjudged(f) for f in failures),
                ],
                "invocations": [_invocation(entries, failures)],
                "properties": {
                    "decisions": {e.model: e.card.verdict.decision.value for e in entries},
                    "runs": [visible(e.card.run_id, 80) for e in entries],
                },
            }
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


_NO_VERDICT: JsonValue = {
    "id": NO_VERDICT,
    "name": "NoVerdict",
    "shortDescription": {"text": "Every model has a verdict"},
    "help": {"text": "A model that could not be audited is never approved; read the message and run the gate again."},
    "defaultConfiguration": {"level": "error"},
    "properties": {"security-severity": "8.0", "tags": ["security", "model-governance"]},
}


def _invocation(entries: Sequence[Entry], failures: Sequence[Failure]) -> JsonValue:
    ended = {"endTimeUtc": _utc(max(e.card.created for e in entries))} if entries else {}
    told: list[JsonValue] = [{"level": "error", "message": {"text": f.said}} for f in failures]
    return {"executionSuccessful": not failures, **ended, **({"toolExecutionNotifications": told} if told else {})}


def _unjudged(failure: Failure) -> JsonValue:
    return {
        "ruleId": NO_VERDICT,
        "kind": "fail",
        "level": "error",
        "message": {"text": failure.said},
        "locations": [_line(failure.at or NOWHERE)],
        "partialFingerprints": {_FINGERPRINT: failure.fingerprint},
    }


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rule(result: Result) -> JsonValue:
    rule = result.rule
    help_text = visible(rule.remediation) or f"See why with: curator policy explain RUN {rule.rule}"
    return {
        "id": rule.rule,
        "name": "".join(part.capitalize() for part in rule.rule.split("-")),
        "shortDescription": {"text": visible(rule.title) or rule.rule},
        "fullDescription": {"text": visible(rule.title) or rule.rule},
        "help": {"text": help_text},
        "defaultConfiguration": {"level": _LEVELS[rule.effect]},
        "properties": {
            "security-severity": SCORES[rule.severity],
            "tags": ["security", "model-governance", f"policy/{result.policy}", *(visible(r, 100) for r in rule.references)],
        },
    }


_LEVELS = {"reject": "error", "review": "warning", "note": "note"}


def _reported(result: Result, index: int) -> JsonValue:
    rule = result.rule
    reported: dict[str, JsonValue] = {
        "ruleId": rule.rule,
        "ruleIndex": index,
        "kind": "fail",
        "level": _level(rule),
        "message": {"text": f"{result.model}: {result.text}"},
        "locations": [_at(result)],
        "partialFingerprints": {_FINGERPRINT: result.fingerprint},
        "properties": {"status": rule.status.value, "model": result.model},
    }
    if result.at is not None and result.places:
        reported["relatedLocations"] = [_seen(p) | {"id": i} for i, p in enumerate(result.places)]
    if rule.status is RuleStatus.WAIVED:
        reported["suppressions"] = [
            {"kind": "external", "status": "accepted", "justification": f"waiver {visible(rule.waiver or '', 80)}"}
        ]
    return reported


def _level(rule: RuleResult) -> str:
    if rule.status is RuleStatus.UNKNOWN and rule.effect != "note":
        return "warning"
    return _LEVELS[rule.effect]


def _at(result: Result) -> JsonValue:
    """Return the line that names the model; without one the worst place in the adapter."""
    return _seen(result.places[0]) if result.at is None and result.places else _line(result.at or NOWHERE)


def _line(place: Place) -> JsonValue:
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(place.path)}, "region": {"startLine": place.line}}}


def _seen(place: Location) -> dict[str, JsonValue]:
    """Return a place in the adapter; bytes of a binary file have no line, so they are said in words."""
    region: JsonValue = {"startLine": 1} if place.offset is None or place.entry else {"byteOffset": place.offset, "byteLength": 0}
    return {
        "physicalLocation": {"artifactLocation": {"uri": _uri(place.path)}, "region": region},
        "message": {"text": visible(str(place), 300)},
    }


def _uri(path: str) -> str:
    """Return a path as a relative reference; names of a subject may hold anything."""
    return quote(path.encode("utf-8", "replace").lstrip(b"/"), safe="/-._~") or NOWHERE.path


PLUGIN = Sarif()
