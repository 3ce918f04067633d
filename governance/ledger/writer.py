"""The ledger: opens the database and appends. One process writes; inside it one lock.

Fulfils ``governance.contracts.Ledger``: the pipeline writes, ``governance.ledger.queries`` reads. Nothing is updated or
deleted, and what a call wrote is on disk when it returns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, create_engine, insert, select
from sqlalchemy.exc import DBAPIError

from governance.evidence import Check, Fact, Outcome
from governance.ledger import schema
from governance.ledger.chain import GENESIS, event_hash, sha256
from governance.ledger.queries import Queries, explained
from governance.ledger.schema import EVENTS
from governance.verdict import Scorecard

_FACTS: TypeAdapter[tuple[Fact, ...]] = TypeAdapter(tuple[Fact, ...])
#: Runs that nobody takes over: they have their answer, or somebody has already.
_CLOSED = ("run.recorded", "run.failed", "run.adopted")
#: Checks worth taking over; the others are tried again.
_KEPT = (Outcome.COMPLETED, Outcome.PARTIAL, Outcome.NOT_APPLICABLE)
#: Set on opening, in this order: no other file is reached, and nothing can be set afterwards.
_LOCKDOWN = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)

Finished = tuple[Check, Sequence[Fact]]


class Ledger(Queries):
    """An open ledger; made by ``Ledger.open``.

    Args:
        engine: Of the database.
        connection: The only one.
        now: The clock.
    """

    def __init__(self, engine: Engine, connection: Connection, now: Callable[[], datetime]) -> None:
        super().__init__(connection)
        self._engine, self._now = engine, now

    @classmethod
    def open(cls, path: Path, *, now: Callable[[], datetime]) -> Ledger:
        """Open a ledger, making it if it is not there.

        Args:
            path: The DuckDB file.
            now: The clock.

        Raises:
            LedgerError: Another process holds it, it is broken, or the disk is full.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(f"duckdb:///{path}")
            connection = engine.connect()
            schema.TABLES.create_all(connection)
            connection.commit()
            for setting in _LOCKDOWN:
                connection.exec_driver_sql(setting)
            connection.commit()
        except (DBAPIError, OSError) as error:
            raise explained(error, path) from error
        return cls(engine, connection, now)

    def close(self) -> None:
        """Close the file, so that another process can open it."""
        with self._lock:
            self._connection.close()
            self._engine.dispose()

    def begin(self, run_id: str, key: str, settings: Mapping[str, str]) -> Mapping[str, Finished]:
        """Note that a run started.

        Args:
            run_id: The new run.
            key: What makes two runs the same audit.
            settings: What is recorded with the run; never a secret.

        Returns:
            Finished checks, by plug-in, of a run with the same key that ended without an answer: killed or cancelled.
        """
        with self._transaction():
            lost = self._unanswered(key)
            found = self._finished(lost) if lost else {}
            if lost:
                self._note_interrupted(lost)
                self._append("run.adopted", lost, {"by": run_id, "checks": sorted(found)})
            self._append("run.started", run_id, {"key": key, "settings": dict(settings), "adopts": lost})
        return found

    def conclude(self, run_id: str, check: Check, facts: Sequence[Fact]) -> None:
        """Note one finished check and what it found, durable on return."""
        payload = {"check": check.model_dump(mode="json"), "facts": _FACTS.dump_python(tuple(facts), mode="json")}
        with self._transaction():
            self._append("check.concluded", run_id, payload)

    def record(self, card: Scorecard) -> None:
        """Store the scorecard, its columns and the closing event in one transaction."""
        document = card.model_dump_json()
        digest = sha256(document)
        with self._transaction():
            run_seq = self._append("run.recorded", card.run_id, {"decision": card.verdict.decision.value, "sha256": digest})
            row = schema.scorecard_row(card, run_seq=run_seq, document=document, digest=digest)
            self._connection.execute(insert(schema.SCORECARDS), [dict(row)])
            for table, rows in schema.fact_rows(card).items():
                if rows:
                    self._connection.execute(insert(table), [{"run_seq": run_seq, "run_id": card.run_id, **row} for row in rows])

    def fail(self, run_id: str, reason: str) -> None:
        """End a run that has no verdict; the reason ``cancelled`` says that somebody wanted it so."""
        with self._transaction():
            self._append("run.cancelled" if reason == "cancelled" else "run.failed", run_id, {"reason": reason})

    def note(self, kind: str, entity: str, payload: Mapping[str, object], *, actor: str = "curator") -> int:
        """Append any other event.

        Args:
            kind: ``noun.verb``.
            entity: Run id, or what else it is about.
            payload: JSON; never a secret.
            actor: Who wanted it.

        Returns:
            Its seq.
        """
        with self._transaction():
            return self._append(kind, entity, payload, actor=actor)

    def interrupt_unended(self) -> tuple[str, ...]:
        """Note every run that was queued or running as interrupted: called when no run can be alive.

        Returns:
            Their ids.
        """
        with self._transaction():
            unended = [r.run_id for r in self.runs(limit=1_000_000) if not r.state.ended]
            for run_id in unended:
                self._note_interrupted(run_id)
        return tuple(unended)

    def _note_interrupted(self, run_id: str) -> None:
        run = self.run(run_id)
        if run is not None and not run.state.ended:
            self._append("run.interrupted", run_id, {"reason": "the curator that ran it ended"})

    def _unanswered(self, key: str) -> str | None:
        """Return the newest run with this key that has no answer and was not taken over."""
        e = EVENTS.c
        started = select(e.entity, e.payload).where((e.kind == "run.started") & e.payload.contains(key, autoescape=True))
        for row in self._read(started.order_by(e.seq.desc())):
            closed = select(e.seq).where((e.entity == row["entity"]) & e.kind.in_(_CLOSED)).limit(1)
            if json.loads(str(row["payload"]))["key"] == key and not self._read(closed):
                return str(row["entity"])
        return None

    def _finished(self, run_id: str) -> dict[str, Finished]:
        """Return what a run finished, and what it had itself taken over and not yet noted again."""
        found: dict[str, Finished] = {}
        for event in self.events(entity=run_id):
            match event.kind, event.payload:
                case "run.started", {"adopts": str(before)}:
                    found = self._finished(before)
                case "check.concluded", {"check": said, "facts": facts}:
                    check = Check.model_validate(said)
                    if check.outcome in _KEPT:
                        found[check.id] = (check, _FACTS.validate_python(facts))
        return found

    def _append(self, kind: str, entity: str, payload: Mapping[str, object], *, actor: str = "curator") -> int:
        text = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        e = EVENTS.c
        last = self._connection.execute(select(e.seq, e.hash).order_by(e.seq.desc()).limit(1)).first()
        seq, previous = (int(last[0]) + 1, str(last[1])) if last else (1, GENESIS)
        event: dict[str, object] = {
            "seq": seq,
            "at": self._now().isoformat(),
            "kind": kind,
            "entity": entity,
            "actor": actor,
            "payload": text,
            "payload_sha256": sha256(text),
            "prev_hash": previous,
        }
        self._connection.execute(insert(EVENTS), [event | {"hash": event_hash(previous, event)}])
        return seq

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what is written inside, or nothing of it."""
        with self._lock:
            try:
                self._connection.begin()
                yield
                self._connection.commit()
            except (DBAPIError, OSError) as error:
                self._undo()
                raise explained(error, None) from error
            except BaseException:
                self._undo()
                raise

    def _undo(self) -> None:
        """Roll back; a database that a full disk has closed cannot even do that, and has nothing to undo."""
        try:
            self._connection.rollback()
        except DBAPIError:
            self._connection.invalidate()
