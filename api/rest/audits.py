"""Audits: ask for one, follow it, end it, take its report."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.rest.bodies import AuditRequest, AuditView, Runs, RunView, run_view
from api.rest.documents import report_response
from api.rest.problems import Described, Refusal, described
from api.rest.service import Here, Service
from api.rest.stream import stream

router = APIRouter(prefix="/v1/audits", tags=["audits"])
_QUEUED: Described = {200: {"model": RunView, "description": "The same audit is queued or at work already"}}
_STREAM: Described = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
_REPORT: Described = {200: {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}}


def view_of(here: Service, run_id: str) -> RunView:
    """Return where a run stands.

    Args:
        here: The service.
        run_id: The run.

    Raises:
        Refusal: 404, it was never heard of.
    """
    return run_view(here.run(run_id), here.jobs.get(run_id), ahead=here.jobs.ahead_of(run_id))


@router.post("", status_code=202, response_model=RunView, responses=described(also=_QUEUED))
def ask(asked: AuditRequest, here: Here, response: Response) -> RunView:
    """Ask for an audit. The same audit, still queued or at work, is not queued twice: it is returned with 200."""
    job, new = here.jobs.submit(asked.resolved(here))
    response.status_code = 202 if new else 200
    response.headers["Location"] = f"/v1/audits/{job.run_id}"
    return view_of(here, job.run_id)


@router.get("", responses=described())
def runs(here: Here, limit: Annotated[int, Query(ge=1, le=200)] = 50, before: Annotated[int | None, Query(ge=0)] = None) -> Runs:
    """List runs, newest first, with a verdict or without."""
    rows = here.ledger.runs(limit=limit, before=before)
    items = tuple(run_view(r, here.jobs.get(r.run_id), ahead=here.jobs.ahead_of(r.run_id)) for r in rows)
    return Runs(items=items, next=f"/v1/audits?limit={limit}&before={rows[-1].run_seq}" if len(rows) == limit else None)


@router.get("/{run_id}", responses=described(404))
def one(run_id: str, here: Here) -> AuditView:
    """Return where a run stands, and its scorecard once it is recorded."""
    return AuditView(**dict(view_of(here, run_id)), scorecard=here.ledger.scorecard(run_id))


@router.get("/{run_id}/events", response_class=StreamingResponse, responses=described(404, also=_STREAM))
def follow(run_id: str, here: Here, request: Request, last_event_id: Annotated[int, Header(ge=0)] = 0) -> StreamingResponse:
    """Follow a run as server-sent events: state, check, progress, verdict, end. Last-Event-ID resumes without loss."""
    here.run(run_id)
    return stream(here, run_id, after=last_event_id, request=request)


@router.post("/{run_id}/cancel", status_code=202, responses=described(404, 409))
def cancel(run_id: str, here: Here) -> RunView:
    """Ask a run to end. Finished checks stay noted, and the same audit takes them over."""
    job, run = here.jobs.get(run_id), here.run(run_id)
    if job is None or job.state.ended:
        raise Refusal(409, f"run {run_id} has ended: {run.state}")
    here.jobs.cancel(job)
    return view_of(here, run_id)


@router.get("/{run_id}/report", response_class=Response, responses=described(404, 406, 409, also=_REPORT))
def report(run_id: str, here: Here, format_id: Annotated[str, Query(alias="format")] = "json") -> Response:
    """Return the recorded scorecard as a document, in any format of `curator report`."""
    return report_response(here, run_id, format_id)
