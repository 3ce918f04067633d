"""A workshop served over a real socket, and what tests say to it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn

from api.access import Access
from api.jobs import Jobs
from api.rest.app import create_app
from api.rest.service import Service
from tests.workshop import Workshop


class Running:
    """A served workshop and a client for it."""

    def __init__(self, workshop: Workshop, jobs: Jobs, url: str) -> None:
        self.workshop, self.jobs, self.url = workshop, jobs, url
        self.http = httpx.Client(base_url=url, timeout=20)

    def ask(self, ref: object = "acme/lora", **more: object) -> httpx.Response:
        return self.http.post("/v1/audits", json={"ref": ref, **more})

    def audited(self, ref: object = "acme/lora", **more: object) -> dict:
        run_id = self.ask(ref, **more).raise_for_status().json()["run_id"]
        return self.until(run_id, lambda v: v["state"] not in ("queued", "running"))

    def until(self, run_id: str, done: Callable[[dict], bool]) -> dict:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            view: dict = self.http.get(f"/v1/audits/{run_id}").raise_for_status().json()
            if done(view):
                return view
            time.sleep(0.02)
        raise AssertionError(f"never happened: {view}")


@contextmanager
def serving(folder: Path, *, token: str | None = None, capacity: int = 32, allow_folder: Path | None = None) -> Iterator[Running]:
    workshop = Workshop(folder)
    jobs = Jobs(workshop, workshop.ledger, capacity=capacity)
    service = Service(
        desk=workshop, ledger=workshop.ledger, jobs=jobs, policies=lambda: ("default", "strict"), allow_folder=allow_folder
    )
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(service, Access(token)), log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    running = Running(workshop, jobs, f"http://127.0.0.1:{listening.getsockname()[1]}")
    try:
        yield running
    finally:
        running.http.close()
        jobs.close()
        server.should_exit = True
        thread.join()
        listening.close()
        workshop.ledger.close()


def assert_problem(answer: httpx.Response, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    said = answer.json()
    assert said["status"] == status
    assert said["title"]
    assert all(word in said["detail"] + said["hint"] for word in words), said


def events(answer: httpx.Response) -> Iterator[tuple[int | None, str, dict]]:
    number, kind = None, ""
    for line in answer.iter_lines():
        field, _, value = line.partition(": ")
        if field == "id":
            number = int(value)
        elif field == "event":
            kind = value
        elif field == "data":
            yield number, kind, json.loads(value)
            number = None
