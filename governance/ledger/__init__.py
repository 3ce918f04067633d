"""The append-only ledger: tables, hash chain, queries, and the one writer."""

from governance.ledger.queries import Event, RunRow, RunState, ScorecardRow
from governance.ledger.writer import Ledger

__all__ = ["Event", "Ledger", "RunRow", "RunState", "ScorecardRow"]
