"""A run as server-sent events. What the ledger holds has an id and is replayed; ticks have none and only the last is sent.

Source:
    HTML Living Standard, section "Server-sent events".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.jobs import Job
from api.rest.problems import Refusal
from api.rest.service import Service
from governance.ledger import Event
from governance.ledger.queries import STATES

#: Most streams at once; beyond it clients ask again, or poll.
MOST_STREAMS = 64
_LOOK_SECONDS = 0.25
_SILENT_LOOKS = 60  # 15 s: proxies cut connections that say nothing
_open = asyncio.Semaphore(MOST_STREAMS)


def stream(here: Service, run_id: str, *, after: int, request: Request) -> StreamingResponse:
    """Return the stream of a run: everything since an event, then what happens, until it ends.

    Args:
        here: The service.
        run_id: A run the ledger knows.
        after: The last event the client has seen; 0 for none.
        request: Tells when the client has gone.

    Raises:
        Refusal: 503, too many are open.
    """
    if _open.locked():
        raise Refusal(503, "too many clients follow runs", hint="ask GET /v1/audits/{run_id} now and then")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(here, run_id, after, request), media_type="text/event-stream", headers=headers)


async def _lines(here: Service, run_id: str, after: int, request: Request) -> AsyncIterator[str]:
    async with _open:
        yield "retry: 2000\n\n"
        ticks, silent = -1, 0
        while not await request.is_disconnected():
            job = here.jobs.get(run_id)
            ended = job is None or job.state.ended  # read before the events, so that none is missed
            silent += 1
            if ended or job is None or job.ticks != ticks:
                ticks, silent = job.ticks if job else 0, 0
                for event in await run_in_threadpool(here.ledger.events, entity=run_id, after=after):
                    after = event.seq
                    yield _event(event)
                if job is not None and job.progress is not None and not ended:
                    yield _line("progress", job.progress.model_dump(mode="json", exclude={"kind", "run_id"}))
            if ended:
                run = await run_in_threadpool(here.run, run_id)
                yield _line("end", {"state": _final(run.state.value, job), "run_id": run_id})
                return
            if silent >= _SILENT_LOOKS:
                silent = 0
                yield ": still there\n\n"
            await asyncio.sleep(_LOOK_SECONDS)


def _final(state: str, job: Job | None) -> str:
    return job.state.value if job else state


def _event(event: Event) -> str:
    """Return one ledger event; a check without its facts, which the scorecard will hold."""
    said: Mapping[str, object] = event.payload
    match event.kind, event.payload:
        case "check.concluded", {"check": {**check}, "facts": [*facts]}:
            kept = ("id", "version", "step", "outcome", "reason", "seconds", "reused")
            return _line("check", {k: check.get(k) for k in kept} | {"facts": len(facts)}, event.seq)
        case "run.recorded", _:
            return _line("verdict", {"state": "recorded", "decision": said.get("decision")}, event.seq)
        case kind, _ if kind in STATES:
            told = {k: said[k] for k in ("reason", "hint") if k in said}
            return _line("state", {"state": STATES[kind].value, "at": event.at.isoformat()} | told, event.seq)
        case kind, _:
            return _line("note", {"kind": kind, "at": event.at.isoformat()}, event.seq)


def _line(kind: str, said: Mapping[str, object], number: int | None = None) -> str:
    # JSON escapes line ends, so one data line always holds it
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {kind}\ndata: {json.dumps(said, ensure_ascii=False)}\n\n"
