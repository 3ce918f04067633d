"""The tables, and how a scorecard fills them: insert-only, portable types, SQLAlchemy Core.

``events`` is the log; ``scorecards`` holds each document whole; the others repeat its facts by column, for queries.
Written by ``governance.ledger.writer``, read by ``governance.ledger.queries``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import JSON, BigInteger, Column, Float, MetaData, String, Table, Text
from sqlalchemy.types import TypeEngine

from governance.verdict import Scorecard

Row = Mapping[str, object]
TABLES = MetaData()

#: One row for everything that happened, each hashed over the one before. Its primary key settles who comes next.
EVENTS = Table(
    "events",
    TABLES,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("entity", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("payload", Text, nullable=False),
    Column("payload_sha256", String, nullable=False),
    Column("prev_hash", String, nullable=False),
    Column("hash", String, nullable=False),
)

#: Each document whole, as it was recorded; ``run_seq`` is the seq of its event.
SCORECARDS = Table(
    "scorecards",
    TABLES,
    Column("run_seq", BigInteger, nullable=False),
    Column("run_id", String, nullable=False),
    Column("created", String, nullable=False),
    Column("decision", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("name", String, nullable=False),
    Column("commit_id", String),
    Column("revision", String),
    Column("base", String),
    Column("composition", String, nullable=False),
    Column("policy", String, nullable=False),
    Column("policy_digest", String, nullable=False),
    Column("document", Text, nullable=False),
    Column("sha256", String, nullable=False),
)


def _facts(table: str, /, **columns: type[TypeEngine[str]] | type[TypeEngine[int]] | type[Float[float]] | type[JSON]) -> Table:
    keys = (Column("run_seq", BigInteger, nullable=False), Column("run_id", String, nullable=False))
    return Table(table, TABLES, *keys, *(Column(name, kind) for name, kind in columns.items()))


CHECKS = _facts(
    "checks",
    plugin=String,
    version=String,
    step=String,
    outcome=String,
    reason=Text,
    isolation=String,
    seconds=Float,
    coverage=JSON,
)
FINDINGS = _facts(
    "findings", plugin=String, rule=String, severity=String, confidence=String, basis=String, message=Text, locations=JSON
)
MEASUREMENTS = _facts(
    "measurements",
    plugin=String,
    metric=String,
    scope=String,
    value=Float,
    unit=String,
    n=BigInteger,
    low=Float,
    high=Float,
    verdict=String,
    details=JSON,
)
COMPONENTS = _facts("components", plugin=String, type=String, name=String, version=String, relation=String, license=String)
RULE_RESULTS = _facts("rule_results", rule=String, status=String, effect=String, reason=Text, waiver=String)


def scorecard_row(card: Scorecard, *, run_seq: int, document: str, digest: str) -> Row:
    """Return the row of ``scorecards`` for one scorecard."""
    composition = card.dossier.composition
    return {
        "run_seq": run_seq,
        "run_id": card.run_id,
        "created": card.created.isoformat(),
        "decision": card.verdict.decision.value,
        "reason": card.verdict.reason,
        "name": composition.adapter.name,
        "commit_id": composition.adapter.commit,
        "revision": composition.adapter.requested_revision,
        "base": composition.base.name if composition.base else None,
        "composition": composition.digest,
        "policy": card.verdict.policy,
        "policy_digest": card.verdict.policy_digest,
        "document": document,
        "sha256": digest,
    }


def fact_rows(card: Scorecard) -> Mapping[Table, Sequence[Row]]:
    """Return the rows of the tables that repeat a scorecard's facts by column, without ``run_seq`` and ``run_id``."""
    dossier = card.dossier
    return {
        CHECKS: [
            {**c.model_dump(mode="json", include={"version", "step", "outcome", "reason", "isolation", "seconds", "coverage"}),
             "plugin": c.id}
            for c in dossier.checks
        ],
        FINDINGS: [
            f.model_dump(mode="json", include={"plugin", "rule", "severity", "confidence", "basis", "message", "locations"})
            for f in dossier.findings
        ],
        MEASUREMENTS: [
            {**m.model_dump(mode="json", include={"plugin", "metric", "scope", "value", "unit", "n", "verdict", "details"}),
             "low": m.interval.low if m.interval else None, "high": m.interval.high if m.interval else None}
            for m in dossier.measurements
        ],
        COMPONENTS: [
            {**c.model_dump(mode="json", include={"plugin", "type", "name", "version", "relation"}), "license": c.license_concluded}
            for c in dossier.components
        ],
        RULE_RESULTS: [
            r.model_dump(mode="json", include={"rule", "status", "effect", "reason", "waiver"}) for r in card.verdict.results
        ],
    }  # fmt: skip
