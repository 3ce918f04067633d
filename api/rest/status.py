"""Whether the service lives, and whether it can take work. Open to all, so they say nothing else."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

from api.rest.problems import Refusal, described
from api.rest.service import Here
from governance.subject import Noun

router = APIRouter(tags=["status"])


class Alive(Noun):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(Noun):
    """The ledger answers and the queue takes work."""

    status: Literal["ready"] = "ready"


@router.get("/healthz")
def healthz() -> Alive:
    """Return 200 while the process answers."""
    return Alive()


@router.get("/readyz", responses={503: described()[503]})
def readyz(here: Here) -> Ready:
    """Return 200 while the ledger answers and another audit would be taken."""
    here.ledger.list_scorecards(limit=1)
    if not here.jobs.accepting:
        raise Refusal(503, "no audit is taken now")
    return Ready()
