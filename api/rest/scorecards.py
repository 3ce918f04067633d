"""Scorecards: the newest of a model, one by its run, and lists. Served as they were recorded, never put together again."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field, StringConstraints

from api.rest.documents import scorecard_response
from api.rest.problems import Described, Refusal, described
from api.rest.service import Here
from governance.ledger import ScorecardRow
from governance.subject import Noun
from governance.verdict import SCHEMA_VERSION, Scorecard

router = APIRouter(prefix="/v1", tags=["scorecards"])
Part = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")]
_JSON: Described = {200: {"model": Scorecard}, 304: {"description": "Not changed since"}}


class Filters(Noun):
    """Which scorecards are listed; an unknown filter is refused, not ignored."""

    repo: str | None = Field(default=None, description="owner/name, or a folder")
    decision: Literal["approve", "review", "reject"] | None = None
    limit: int = Field(default=50, ge=1, le=200)
    before: int | None = Field(default=None, ge=0, description="run_seq of the last row of the page before")


class Scorecards(Noun):
    """A page of scorecards, newest first."""

    schema_version: str = SCHEMA_VERSION
    items: tuple[ScorecardRow, ...]
    next: str | None = Field(default=None, description="path of the next page")


@router.get("/scorecards", responses=described())
def listed(here: Here, filters: Annotated[Filters, Query()], response: Response) -> Scorecards:
    """List recorded verdicts, newest first. A reject is listed like any other answer."""
    f = filters
    rows = here.ledger.list_scorecards(name=f.repo, decision=f.decision, limit=f.limit, before=f.before)
    following = None
    if len(rows) == f.limit:
        following = "/v1/scorecards?" + urlencode({**f.model_dump(exclude_none=True), "before": rows[-1].run_seq})
        response.headers["Link"] = f'<{following}>; rel="next"'
    return Scorecards(items=rows, next=following)


@router.get("/scorecards/{run_id}", response_class=Response, responses=described(404, 409, also=_JSON))
def one(run_id: str, here: Here, request: Request) -> Response:
    """Return one scorecard; it never changes."""
    found = here.ledger.document(run_id)
    if found is None:
        raise here.without_verdict(run_id)
    return scorecard_response(request, *found, forever=True)


@router.get("/models/{owner}/{name}/scorecard", response_class=Response, responses=described(404, also=_JSON))
def newest(owner: Part, name: Part, here: Here, request: Request, revision: str | None = None) -> Response:
    """Return the newest scorecard of a model; of one commit, branch or tag with `revision`."""
    found = here.ledger.latest_document(f"{owner}/{name}", commit=revision)
    if found is None:
        at = f" at {revision!r}" if revision else ""
        raise Refusal(404, f"{owner}/{name}{at} was never audited here", hint=f'POST /v1/audits {{"ref": "{owner}/{name}"}}')
    return scorecard_response(request, *found, forever=False)
