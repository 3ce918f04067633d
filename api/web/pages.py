"""Pages: every verdict, one run as it goes, one scorecard. No logic; what they show comes from the same calls as /v1."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool

from api.rest.audits import cancel, view_of
from api.rest.bodies import AuditRequest
from api.rest.problems import Refusal
from api.rest.service import Here, Service
from api.web.render import page
from governance.ledger import Event
from governance.licensing import Intent
from governance.subject import Noun

router = APIRouter(include_in_schema=False)
_STAGES = ("acquire", "inspect", "evaluate", "decide", "record")
_ROWS = 50


class Shown(Noun):
    """Which verdicts the first page lists."""

    repo: str | None = Field(default=None, max_length=1000)
    decision: Literal["approve", "review", "reject", ""] | None = None
    before: int | None = Field(default=None, ge=0)


@router.get("/")
def fleet(here: Here, shown: Annotated[Shown, Query()]) -> Response:
    """Show live runs and recorded verdicts."""
    rows = here.ledger.list_scorecards(name=shown.repo or None, decision=shown.decision or None, before=shown.before, limit=_ROWS)
    older = "/?" + urlencode({**shown.model_dump(exclude_none=True), "before": rows[-1].run_seq}) if len(rows) == _ROWS else None
    recent = [view_of(here, r.run_id) for r in here.ledger.runs(limit=20)]
    unanswered = [r for r in recent if r.decision is None]
    policies = sorted(here.policies())
    return page("fleet.html", rows=rows, runs=unanswered, older=older, shown=shown, policies=policies)


@router.post("/audits")
async def ask(here: Here, request: Request) -> Response:
    """Take the form of the first page and go to the run."""
    form = {k: v[0].strip() for k, v in parse_qs((await request.body()).decode("utf-8", "replace")).items()}
    job, _ = await run_in_threadpool(here.jobs.submit, _asked(form).resolved(here))
    return RedirectResponse(f"/audits/{job.run_id}", status_code=303)


@router.get("/audits/{run_id}")
def run(run_id: str, here: Here) -> Response:
    """Show a run as it goes, or how it ended."""
    view = view_of(here, run_id)
    return page("run.html", run=view, stages=_STAGES, checks=_checks(here, run_id), live=not view.state.ended)


@router.post("/audits/{run_id}/cancel")
def end(run_id: str, here: Here) -> Response:
    """End a run and go back to it."""
    cancel(run_id, here)
    return RedirectResponse(f"/audits/{run_id}", status_code=303)


@router.get("/scorecards/{run_id}")
def scorecard(run_id: str, here: Here) -> Response:
    """Show a recorded scorecard."""
    from reports._render.page import body  # loads the chart renderer, which a server may never need

    card = here.scorecard(run_id)
    return page("scorecard.html", card=card, body=body(card), formats=tuple(here.desk.formats))


@router.get("/assets/scorecard.css")
def scorecard_style() -> Response:
    """Return the style sheet of the scorecard, which its report carries inside."""
    from reports._render.page import stylesheet

    return Response(stylesheet(), media_type="text/css")


def _asked(form: dict[str, str]) -> AuditRequest:
    try:
        intent = Intent.model_validate({"use": form.get("use")})
        given = {k: form[k] for k in ("ref", "base", "policy") if form.get(k)}
        return AuditRequest.model_validate({**given, "intent": intent})
    except ValidationError as error:
        first = error.errors()[0]
        raise Refusal(
            422, f"{'/'.join(map(str, first['loc']))}: {first['msg']}", hint="go back and fill in the form again"
        ) from error


def _checks(here: Service, run_id: str) -> list[dict[str, object]]:
    """Return the checks a run has concluded, in order."""
    return [c for event in here.ledger.events(entity=run_id) if (c := _check(event)) is not None]


def _check(event: Event) -> dict[str, object] | None:
    match event.kind, event.payload:
        case "check.concluded", {"check": {**check}, "facts": [*facts]}:
            return {**{str(k): v for k, v in check.items()}, "facts": len(facts)}
    return None
