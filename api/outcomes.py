"""The one table from a decision or an error to an exit code and an HTTP status."""

from __future__ import annotations

from governance.errors import (
    Cancelled,
    CuratorError,
    IsolationError,
    LedgerError,
    LimitError,
    PluginError,
    PolicyError,
    PrerequisiteError,
    SignatureError,
    SubjectError,
)
from governance.evaluation import EvaluationDocument
from governance.evidence import Severity
from governance.scan import ScanDocument
from governance.verdict import Decision

OK, ERROR, USAGE, REVIEW, REJECT = 0, 1, 2, 10, 11

#: What each exit code means; printed by ``curator audit --help`` and in the README.
EXIT_CODES = {
    OK: "approve",
    ERROR: "error: no verdict",
    USAGE: "bad usage",
    REVIEW: "review: a person must look",
    REJECT: "reject",
}

_DECISIONS = {Decision.APPROVE: OK, Decision.REVIEW: REVIEW, Decision.REJECT: REJECT}
_STATUS: tuple[tuple[type[CuratorError], int, str], ...] = (
    (Cancelled, 409, "The audit was cancelled"),
    (PolicyError, 422, "The policy cannot be used"),
    (LimitError, 413, "A limit was reached"),
    (SubjectError, 422, "The subject cannot be audited"),
    (PrerequisiteError, 503, "Something has to be installed first"),
    (IsolationError, 503, "Child processes cannot be isolated"),
    (LedgerError, 503, "The ledger is not available"),
    (SignatureError, 422, "A signature does not hold"),
    (PluginError, 500, "A plug-in broke its contract"),
    (CuratorError, 500, "The curator failed"),
)


def exit_code(outcome: Decision | CuratorError) -> int:
    """Return the exit code of a decision; every error is 1."""
    return _DECISIONS[outcome] if isinstance(outcome, Decision) else ERROR


def scan_exit_code(found: ScanDocument, threshold: Severity) -> tuple[int, str]:
    """Return the exit code of a scan or triage, and why; a finding wins over a gap.

    Args:
        found: What was said.
        threshold: Findings above it count.
    """
    grave = [f for f in found.findings if f.subject == "adapter" and f.severity.rank > threshold.rank]
    gaps = found.gaps()
    if grave:
        return (
            REJECT,
            f"{len(grave)} findings above {threshold.value}, the worst {max(grave, key=lambda f: f.severity.rank).severity.value}",
        )
    if gaps:
        return REVIEW, f"nothing above {threshold.value}, but {len(gaps)} parts were not scanned; first: {gaps[0][:200]}"
    return OK, f"nothing above {threshold.value} was found, and everything was read"


def evaluation_exit_code(found: EvaluationDocument) -> tuple[int, str]:
    """Return the exit code of an evaluation, and why; a loss that was shown wins over a gap.

    Args:
        found: What was measured.
    """
    by_standing: dict[str, list[str]] = {}
    for one in found.adapters:
        by_standing.setdefault(one.standing(), []).append(one.asked)
    if degraded := by_standing.get("degraded"):
        return REJECT, f"degraded: {', '.join(degraded)}"
    if all(not one.measurements for one in found.adapters):
        first = next((str(gap) for one in found.adapters for gap in one.gaps()), "no evaluator had anything to measure")
        return ERROR, f"nothing could be measured; first: {first[:200]}"
    rest = {k: v for k, v in by_standing.items() if k != "retained"}
    if rest:
        return REVIEW, "a person must look: " + "; ".join(f"{k.replace('-', ' ')}: {', '.join(v)}" for k, v in sorted(rest.items()))
    return OK, "nothing degraded: every family of every adapter is retained"


def http_status(error: CuratorError) -> int:
    """Return the HTTP status of an error."""
    return next(status for kind, status, _ in _STATUS if isinstance(error, kind))


def problem(error: CuratorError, *, instance: str = "") -> dict[str, object]:
    """Return an error as problem JSON.

    Args:
        error: What went wrong.
        instance: The request's path, if there was one.

    Returns:
        The members ``type``, ``title``, ``status``, ``detail``, ``hint`` and, if given, ``instance``.

    Source:
        RFC 9457.
    """
    kind, status, title = next(row for row in _STATUS if isinstance(error, row[0]))
    document: dict[str, object] = {
        "type": f"urn:model-curator:error:{kind.__name__}",
        "title": title,
        "status": status,
        "detail": error.message,
        "hint": error.hint,
    }
    if isinstance(error, PolicyError) and error.line is not None:
        document["errors"] = [{"line": error.line, "column": error.column, "message": error.message}]
    return document | ({"instance": instance} if instance else {})
