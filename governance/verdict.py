"""Judgement: what a policy concluded from a dossier, and the document that is recorded.

Made by ``policies.engine`` (verdict) and ``governance.pipeline`` (scorecard); read by the ledger, reports and the API.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from governance.dossier import Dossier
from governance.evidence import Severity
from governance.subject import Noun

#: Version of the scorecard's JSON; ``docs/scorecard.schema.json`` is its schema.
SCHEMA_VERSION = "1.0"


class Decision(StrEnum):
    """The three answers."""

    APPROVE = "approve"
    REVIEW = "review"
    REJECT = "reject"

    @property
    def rank(self) -> int:
        """0 for approve to 2 for reject; the worst rule wins."""
        return ("approve", "review", "reject").index(self.value)


class RuleStatus(StrEnum):
    """What became of one policy rule."""

    PASS = "pass"  # noqa: S105 - a status, not a secret
    FAIL = "fail"
    UNKNOWN = "unknown"
    WAIVED = "waived"
    NOT_APPLICABLE = "not-applicable"


class RuleResult(Noun):
    """One policy rule on one dossier."""

    rule: str
    title: str
    severity: Severity
    effect: Literal["reject", "review", "note"]
    status: RuleStatus
    decision: Decision | None = Field(default=None, description="what this result alone asks for; None if nothing")
    reason: str
    remediation: str = ""
    references: tuple[str, ...] = ()
    reads: dict[str, str] = Field(default_factory=dict, description="each fact read and the value it had, or why it was missing")
    waiver: str | None = None


class Verdict(Noun):
    """A policy's answer, with enough to replay it bit for bit."""

    policy: str
    policy_version: str
    policy_digest: str
    engine: str
    engine_version: str
    input_digest: str = Field(description="SHA-256 of the dossier the rules read")
    on: datetime
    decision: Decision
    reason: str
    results: tuple[RuleResult, ...] = ()
    notes: tuple[str, ...] = Field(default=(), description="e.g. waivers that were ignored, and why")


class Scorecard(Noun):
    """What is recorded: subject, facts, verdict, and how they were made."""

    schema_version: str = SCHEMA_VERSION
    run_id: str
    created: datetime
    curator_version: str
    settings: dict[str, str] = Field(default_factory=dict, description="limits, seed, suite and the like; never a secret")
    versions: dict[str, str] = Field(default_factory=dict, description="libraries the measurements were made with")
    seconds: float = Field(default=0.0, ge=0)
    dossier: Dossier
    verdict: Verdict
