"""What the ledger can be asked. Current state is what the last event says; documents are read as they were stored.

``governance.ledger.writer.Ledger`` adds the writing; ``api`` asks.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import Field
from sqlalchemy import ColumnElement, Connection, Select, func, select
from sqlalchemy.exc import DBAPIError

from governance.errors import LedgerError
from governance.ledger.chain import Position, first_broken, sha256
from governance.ledger.schema import EVENTS, SCORECARDS
from governance.subject import Noun
from governance.verdict import Decision, Scorecard

_BATCH = 5_000
#: Scorecards read at once; each is some tens of kilobytes.
_DOCUMENTS = 200
_HOLDER = re.compile(r"\(PID (\d+)\)")


class RunState(StrEnum):
    """How far a run is; ``failed`` means no verdict, a reject is ``recorded``."""

    QUEUED = "queued"
    RUNNING = "running"
    RECORDED = "recorded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


#: The state each kind of event leads to; other kinds change no state.
STATES = {
    "run.queued": RunState.QUEUED,
    "run.claimed": RunState.RUNNING,
    "run.started": RunState.RUNNING,
    "run.recorded": RunState.RECORDED,
    "run.failed": RunState.FAILED,
    "run.cancelled": RunState.CANCELLED,
    "run.interrupted": RunState.LOST,
}


class Event(Noun):
    """One row of the log."""

    seq: int
    at: datetime
    kind: str
    entity: str
    actor: str
    payload: dict[str, object] = Field(default_factory=dict)


class RunRow(Noun):
    """What a list shows of a run, with a verdict or without."""

    run_seq: int = Field(description="seq of its first event; runs are listed by it")
    run_id: str
    state: RunState
    created: datetime
    changed: datetime
    asked: dict[str, object] = Field(description="payload of its first event: what was asked for")
    said: dict[str, object] = Field(description="payload of its last event: the reason of a failure, the decision")


class ScorecardRow(Noun):
    """What a list shows of a scorecard."""

    run_seq: int
    run_id: str
    created: datetime
    decision: Decision
    reason: str
    name: str
    commit: str | None
    base: str | None
    composition: str
    policy: str


class Queries:
    """Reads one open ledger. One connection, one lock: callers may be on any thread.

    Args:
        connection: To the database.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.RLock()

    def scorecard(self, run_id: str) -> Scorecard | None:
        """Return a recorded scorecard, or None."""
        found = self.document(run_id)
        return Scorecard.model_validate_json(found[0]) if found else None

    def document(self, run_id: str) -> tuple[str, str] | None:
        """Return a scorecard's JSON exactly as it was recorded, and its SHA-256; or None."""
        return self._newest(SCORECARDS.c.run_id == run_id)

    def latest(self, name: str, *, commit: str | None = None) -> Scorecard | None:
        """Return the newest scorecard of an adapter, or None.

        Args:
            name: Its Hub name or folder.
            commit: Only of this commit; a branch or tag finds the audits that asked for it by that name.
        """
        found = self.latest_document(name, commit=commit)
        return Scorecard.model_validate_json(found[0]) if found else None

    def latest_document(self, name: str, *, commit: str | None = None) -> tuple[str, str] | None:
        """Return the JSON of an adapter's newest scorecard exactly as it was recorded, and its SHA-256; or None.

        Args:
            name: Its Hub name or folder.
            commit: As for ``latest``.
        """
        clause = SCORECARDS.c.name == name
        if commit:
            clause &= (SCORECARDS.c.commit_id == commit) | (SCORECARDS.c.revision == commit)
        return self._newest(clause)

    def latest_on(self, composition: str, *, policy_digest: str) -> Scorecard | None:
        """Return the newest scorecard of a composition under a policy, or None.

        Args:
            composition: Digest of the composition.
            policy_digest: SHA-256 of the resolved policy.
        """
        found = self._newest((SCORECARDS.c.composition == composition) & (SCORECARDS.c.policy_digest == policy_digest))
        return Scorecard.model_validate_json(found[0]) if found else None

    def list_scorecards(
        self, *, name: str | None = None, decision: str | None = None, limit: int = 50, before: int | None = None
    ) -> tuple[ScorecardRow, ...]:
        """Return recorded verdicts, newest first.

        Args:
            name: Only this adapter.
            decision: Only this decision.
            limit: Most rows.
            before: Only rows with a smaller ``run_seq``: the next page.
        """
        t = SCORECARDS.c
        query = select(*(t[k] for k in ScorecardRow.model_fields if k != "commit"), t.commit_id.label("commit"))
        if name:
            query = query.where(t.name == name)
        if decision:
            query = query.where(t.decision == decision)
        if before is not None:
            query = query.where(t.run_seq < before)
        return tuple(ScorecardRow.model_validate(dict(r)) for r in self._read(query.order_by(t.run_seq.desc()).limit(limit)))

    def every_scorecard(self, *, limit: int | None = None) -> Iterator[Scorecard]:
        """Yield recorded scorecards, newest first, a batch at a time; each is checked against its digest.

        Args:
            limit: Most scorecards.

        Raises:
            LedgerError: A document was changed.
        """
        t, before, left = SCORECARDS.c, None, limit
        while left is None or left > 0:
            query = select(t.run_seq, t.run_id, t.document, t.sha256).order_by(t.run_seq.desc())
            if before is not None:
                query = query.where(t.run_seq < before)
            rows = self._read(query.limit(_DOCUMENTS if left is None else min(_DOCUMENTS, left)))
            if not rows:
                return
            for row in rows:
                yield Scorecard.model_validate_json(_whole(row))
            before, left = rows[-1]["run_seq"], None if left is None else left - len(rows)

    def events(self, *, entity: str | None = None, after: int = 0, limit: int | None = None) -> tuple[Event, ...]:
        """Return events in order.

        Args:
            entity: Only those of this run.
            after: Only those with a larger seq.
            limit: Most events.
        """
        query = select(*(EVENTS.c[k] for k in Event.model_fields)).where(EVENTS.c.seq > after)
        if entity is not None:
            query = query.where(EVENTS.c.entity == entity)
        return tuple(Event.model_validate(_with_payload(r)) for r in self._read(query.order_by(EVENTS.c.seq).limit(limit)))

    def run(self, run_id: str) -> RunRow | None:
        """Return where a run stands, or None if it was never heard of."""
        found = self._runs(EVENTS.c.entity == run_id, limit=1)
        return found[0] if found else None

    def runs(self, *, limit: int = 50, before: int | None = None) -> tuple[RunRow, ...]:
        """Return runs, newest first.

        Args:
            limit: Most rows.
            before: Only runs with a smaller ``run_seq``: the next page.
        """
        return self._runs(None, limit=limit, before=before)

    def verify(self) -> int:
        """Return the number of events, all of which fit the chain, as do the recorded documents.

        Raises:
            LedgerError: Something was changed or removed; the message names the first bad row.
        """
        here = Position()
        while rows := self._read(select(EVENTS).where(EVENTS.c.seq > here.seq).order_by(EVENTS.c.seq).limit(_BATCH)):
            here, broken = first_broken(rows, here)
            if broken is not None:
                raise _tampered(f"event {broken} was changed, or one was removed or put in there")
        self._verify_documents()
        return here.seq

    def _verify_documents(self) -> None:
        """Hold every scorecard against the event that recorded it."""
        recorded = select(EVENTS.c.entity, EVENTS.c.payload).where(EVENTS.c.kind == "run.recorded").order_by(EVENTS.c.seq)
        promised = {str(r["entity"]): json.loads(str(r["payload"]))["sha256"] for r in self._read(recorded)}
        after = -1
        page = select(SCORECARDS.c.run_seq, SCORECARDS.c.run_id, SCORECARDS.c.document).order_by(SCORECARDS.c.run_seq)
        while rows := self._read(page.where(SCORECARDS.c.run_seq > after).limit(100)):
            for row in rows:
                if promised.pop(str(row["run_id"]), None) != sha256(str(row["document"])):
                    raise _tampered(f"the scorecard of run {row['run_id']} is not the one its event recorded")
            after = int(str(rows[-1]["run_seq"]))
        if promised:
            raise _tampered(f"the scorecard of run {next(iter(promised))} was removed")

    def _runs(self, clause: ColumnElement[bool] | None, *, limit: int, before: int | None = None) -> tuple[RunRow, ...]:
        e = EVENTS.c
        ends = select(e.entity, func.min(e.seq).label("first"), func.max(e.seq).label("last")).where(e.kind.in_(STATES))
        if clause is not None:
            ends = ends.where(clause)
        run = ends.group_by(e.entity).subquery()
        first, last = EVENTS.alias("first_event"), EVENTS.alias("last_event")
        query = (
            select(
                run.c.first.label("run_seq"),
                run.c.entity.label("run_id"),
                last.c.kind.label("state"),
                first.c.at.label("created"),
                last.c.at.label("changed"),
                first.c.payload.label("asked"),
                last.c.payload.label("said"),
            )
            .join_from(run, first, first.c.seq == run.c.first)
            .join(last, last.c.seq == run.c.last)
            .order_by(run.c.first.desc())
            .limit(limit)
        )
        rows = self._read(query.where(run.c.first < before) if before is not None else query)
        return tuple(
            RunRow.model_validate(
                {**r, "state": STATES[str(r["state"])], "asked": json.loads(str(r["asked"])), "said": json.loads(str(r["said"]))}
            )
            for r in rows
        )

    def _newest(self, clause: ColumnElement[bool]) -> tuple[str, str] | None:
        t = SCORECARDS.c
        rows = self._read(select(t.run_id, t.document, t.sha256).where(clause).order_by(t.run_seq.desc()).limit(1))
        if not rows:
            return None
        document = _whole(rows[0])
        return document, sha256(document)

    def _read(self, query: Select[tuple[object, ...]] | Select[tuple[()]]) -> Sequence[Mapping[str, object]]:
        """Return rows; outside a transaction of the writer nothing is left open."""
        with self._lock:
            inside = self._connection.in_transaction()
            try:
                return [{str(k): v for k, v in row.items()} for row in self._connection.execute(query).mappings()]
            except DBAPIError as error:
                raise explained(error, None) from error
            finally:
                if not inside:
                    self._connection.rollback()


def explained(error: Exception, path: Path | None) -> LedgerError:
    """Return what went wrong with the database in words a person can act on.

    Args:
        error: From the driver or the operating system.
        path: The ledger's file, if it was being opened.
    """
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    low = text.lower()
    if "could not set lock" in low or "conflicting lock" in low:
        holder = _HOLDER.search(text)
        who = f"process {holder.group(1)}" if holder else str(path)
        return LedgerError(
            f"another curator holds the ledger ({who})",
            hint="wait for it, or set CURATOR_HOME to another folder, or ask the running server over HTTP",
        )
    if any(sign in low for sign in ("no space", "disk full", "file too large", "quota")):
        return LedgerError(
            "no space left for the ledger: nothing more can be recorded",
            hint="free space, or point CURATOR_HOME at a larger disk; the same command resumes",
        )
    if "permission denied" in low or "read-only" in low:
        return LedgerError(f"the ledger {path or ''} may not be written", hint="check the owner and permissions of CURATOR_HOME")
    return LedgerError(
        f"the ledger cannot be used: {text[:300]}", hint="check the file and the disk; or put back a copy of the ledger file"
    )


def _tampered(what: str) -> LedgerError:
    return LedgerError(what, hint="keep this file as evidence and put back a copy of the ledger")


def _whole(row: Mapping[str, object]) -> str:
    """Return a recorded document that is what it was."""
    document = str(row["document"])
    if sha256(document) != row["sha256"]:
        raise _tampered(f"the scorecard of run {row['run_id']} was changed")
    return document


def _with_payload(row: Mapping[str, object]) -> dict[str, object]:
    return {**row, "payload": json.loads(str(row["payload"]))}
