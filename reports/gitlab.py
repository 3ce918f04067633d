"""GitLab's Code Quality report: the rules that failed or could not be decided, as issues on a merge request."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import JsonValue

from governance.evidence import Severity
from governance.subject import canonical_digest
from governance.verdict import RuleStatus, Scorecard
from reports._ci.results import Entry, Failure, Result, results
from reports._render.words import visible

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
    path = result.at.path if result.at else result.places[0].path if result.places else "adapter_config.json"
    return {
        "description": f"{result.model}: {result.text}",
        "check_name": f"{result.policy}/{result.rule.rule}",
        "fingerprint": result.fingerprint,
        "severity": _SEVERITIES[result.rule.severity],
        "location": {"path": path.lstrip("/"), "lines": {"begin": result.at.line if result.at else 1}},
    }


def _unjudged(failure: Failure) -> JsonValue:
    return {
        "description": f"{visible(failure.model)}: {visible(failure.text)}",
        "check_name": "no-verdict",
        "fingerprint": canonical_digest(["no-verdict", failure.model]),
        "severity": "blocker",
        "location": {
            "path": failure.at.path.lstrip("/") if failure.at else "adapter_config.json",
            "lines": {"begin": failure.at.line if failure.at else 1},
        },
    }


PLUGIN = GitLab()
