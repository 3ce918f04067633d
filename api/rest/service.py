"""What the routes share: the curator's desk, the queue, and what the operator allows.

Made once per server by ``api.rest.server``; every route gets it as ``Here``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

from fastapi import Depends, Request

from api.jobs import Jobs
from api.rest.problems import Refusal
from governance.contracts import ReportFormat
from governance.ledger import Ledger, RunRow
from governance.verdict import Scorecard


class Desk(Protocol):
    """What is asked of the curator beside audits; ``api.curator.Curator`` fulfils it."""

    @property
    def formats(self) -> Mapping[str, ReportFormat]:
        """Report formats by id."""

    def render(self, card: Scorecard, format_id: str) -> bytes:
        """Return a recorded scorecard as a document."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """The parts of a running service.

    Attributes:
        desk: Makes reports.
        ledger: Where everything is recorded.
        jobs: The queue.
        policies: Names of the policies that may be asked for.
        allow_folder: Folders below this one may be audited; None: none.
    """

    desk: Desk
    ledger: Ledger
    jobs: Jobs
    policies: Callable[[], Collection[str]]
    allow_folder: Path | None = None

    def run(self, run_id: str) -> RunRow:
        """Return where a run stands.

        Raises:
            Refusal: 404, it was never heard of.
        """
        found = self.ledger.run(run_id)
        if found is None:
            raise Refusal(404, f"there is no run {run_id!r}", hint="GET /v1/audits lists the runs there are")
        return found

    def scorecard(self, run_id: str) -> Scorecard:
        """Return a recorded scorecard.

        Raises:
            Refusal: 404, there is no such run; 409, it has no verdict.
        """
        card = self.ledger.scorecard(run_id)
        if card is None:
            raise self.without_verdict(run_id)
        return card

    def without_verdict(self, run_id: str) -> Refusal:
        """Return why a run has no scorecard.

        Raises:
            Refusal: 404, there is no such run.
        """
        run = self.run(run_id)
        reason = str(run.said.get("reason", ""))
        return Refusal(409, f"run {run_id} is {run.state}: it has no scorecard" + (f" ({reason})" if reason else ""))


def service_of(request: Request) -> Service:
    """Return the service a request came to."""
    found = request.app.state.service
    assert isinstance(found, Service)  # noqa: S101 - the server has put it there
    return found


Here = Annotated[Service, Depends(service_of)]
