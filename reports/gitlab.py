"""GitLab's Code Quality report: the rules that failed or could not be decided, as issues on a merge request."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import JsonValue

from governance.evidence import Severity
from governance.verdict import RuleStatus, Scorecard
from reports._ci.results import NO_VERDICT, NOWHERE, Entry, Failure, Place, Result, results

#: The five words of the format.
_SEVERITIES = {
    Severity.CRITICAL: "blocker",
    Severity.HIGH: "critical",
    Severity.MEDIUM: "major",
    Severity.LOW: "minor",
    Severity.INFO: "info",
}


class GitLab:
    """Rules as code quality issues; the fingerprint lets GitLab tell new ones from known ones."""

    id = "gitlab"
    version = "1"
    media_type = "application/json"
    suffix = ".gitlab.json"

    def render(self, card: Scorecard) -> bytes:
        """Return a JSON array of issues."""
        return issues([Entry(card)])


def issues(entries: Sequence[Entry], failures: Sequence[Failure] = ()) -> bytes:
    """Return several verdicts as one list of issues.

    Args:
        entries: Scorecards with their places.
        failures: Models without a verdict.

    Source:
        GitLab documentation, "Code Quality report format": description, check_name, fingerprint, severity, location.
    """
    found = [_issue(r) for r in results(entries) if r.rule.status in (RuleStatus.FAIL, RuleStatus.UNKNOWN)]
    found += [_unjudged(f) for f in failures]
    return json.dumps(found, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _issue(result: Result) -> JsonValue:
    at = result.at or (Place(result.places[0].path) if result.places else NOWHERE)
    name = f"{result.policy}/{result.rule.rule}"
    return _listed(f"{result.model}: {result.text}", name, result.fingerprint, _SEVERITIES[result.rule.severity], at)


def _unjudged(failure: Failure) -> JsonValue:
    return _listed(failure.said, NO_VERDICT, failure.fingerprint, _SEVERITIES[Severity.CRITICAL], failure.at or NOWHERE)


def _listed(description: str, name: str, fingerprint: str, severity: str, at: Place) -> JsonValue:
    return {
        "description": description,
        "check_name": name,
        "fingerprint": fingerprint,
        "severity": severity,
        "location": {"path": at.path.lstrip("/"), "lines": {"begin": at.line}},
    }


PLUGIN = GitLab()
