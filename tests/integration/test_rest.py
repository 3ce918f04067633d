"""The service over a real socket: ask, follow, cancel, read; and what it refuses."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import jsonschema
import pytest
import uvicorn

from api.access import Access, assert_may_bind
from api.jobs import Jobs
from api.rest.app import create_app, openapi_document
from api.rest.service import Service
from governance.errors import PrerequisiteError
from governance.ledger import RunState
from tests.workshop import Workshop

DOCS = Path(__file__).resolve().parents[2] / "docs"
TOKEN = "an-access-token-of-some-length"


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


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path, allow_folder=tmp_path / "open") as served:
        yield served


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


def test_an_audit_from_question_to_answer(running: Running) -> None:
    asked = running.ask("acme/lora@main", intent={"use": "commercial"})
    assert asked.status_code == 202
    view = asked.json()
    assert asked.headers["location"] == view["links"]["self"] == f"/v1/audits/{view['run_id']}"
    done = running.until(view["run_id"], lambda v: v["state"] == "recorded")
    assert done["decision"] == "approve"
    assert done["adapter"] == "acme/lora@main"
    assert done["scorecard"]["dossier"]["composition"]["adapter"]["name"] == "acme/lora"
    newest = running.http.get("/v1/models/acme/lora/scorecard")
    assert newest.json() == done["scorecard"]
    for revision in ("main", "a" * 40):
        assert running.http.get("/v1/models/acme/lora/scorecard", params={"revision": revision}).json() == newest.json()
    assert_problem(running.http.get("/v1/models/acme/lora/scorecard?revision=other"), 404, "never audited")
    assert_problem(running.http.get("/v1/models/acme/unknown/scorecard"), 404, "POST /v1/audits")


def test_a_reject_is_an_answer(running: Running) -> None:
    view = running.audited("acme/hostile")
    assert (view["state"], view["decision"], view["error"]) == ("recorded", "reject", None)


def test_a_whole_reference_is_taken_too(running: Running) -> None:
    view = running.audited(
        {"adapter": {"source": "hub", "name": "acme/lora", "revision": "v2"}, "quantization": "nf4"}, base="acme/base"
    )
    assert view["scorecard"]["dossier"]["composition"]["adapter"]["requested_revision"] == "v2"
    queued = running.workshop.ledger.run(view["run_id"])
    assert queued is not None
    assert queued.asked["ref"]["base"]["name"] == "acme/base"  # type: ignore[index]


def test_the_same_audit_is_not_queued_twice(running: Running) -> None:
    running.workshop.second.go_on.clear()
    first, again, other = running.ask(), running.ask(), running.ask(stage="inspect")
    assert (first.status_code, again.status_code, other.status_code) == (202, 200, 202)
    assert first.json()["run_id"] == again.json()["run_id"] != other.json()["run_id"]
    assert running.http.get(other.json()["links"]["self"]).json()["ahead"] == 1
    running.workshop.second.go_on.set()
    running.until(other.json()["run_id"], lambda v: v["state"] == "recorded")
    assert running.ask().status_code == 202, "an ended audit may be asked for again"


def test_progress_is_seen_by_those_who_ask(running: Running) -> None:
    running.workshop.second.go_on.clear()
    run_id = running.ask().json()["run_id"]
    view = running.until(run_id, lambda v: v["progress"] and v["progress"]["message"] == "half way")
    assert (view["state"], view["stage"]) == ("running", "inspect")
    page = running.http.get(f"/audits/{run_id}").text
    assert "half way" in page
    assert "/static/progress.js" in page
    assert "<noscript>" in page
    running.workshop.second.go_on.set()


def test_events_arrive_as_they_happen_and_resume_without_loss(running: Running) -> None:
    running.workshop.second.go_on.clear()
    run_id = running.ask().json()["run_id"]
    seen: list[tuple[int | None, str, dict]] = []
    with running.http.stream("GET", f"/v1/audits/{run_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for event in events(answer):
            seen.append(event)
            if event[1] == "progress" and event[2]["message"] == "half way":
                break
    last = max(number for number, _, _ in seen if number)
    running.workshop.second.go_on.set()
    with running.http.stream("GET", f"/v1/audits/{run_id}/events", headers={"Last-Event-ID": str(last)}) as answer:
        resumed = list(events(answer))
    with running.http.stream("GET", f"/v1/audits/{run_id}/events") as answer:
        whole = list(events(answer))
    numbered = [e for e in whole if e[0]]
    assert [e for e in seen + resumed if e[0]] == numbered
    assert [e[0] for e in numbered] == [e.seq for e in running.workshop.ledger.events(entity=run_id)]
    assert [(kind, said.get("id") or said.get("state")) for _, kind, said in numbered] == [
        ("state", "queued"), ("state", "running"), ("state", "running"),
        ("check", "first"), ("check", "second"), ("verdict", "recorded"),
    ]  # fmt: skip
    assert whole[-1][1:] == resumed[-1][1:] == ("end", {"state": "recorded", "run_id": run_id})


def test_many_clients_may_follow_and_the_service_still_answers(running: Running) -> None:
    running.workshop.second.go_on.clear()
    run_id = running.ask().json()["run_id"]
    ends: list[str] = []

    def follow() -> None:
        with httpx.Client(base_url=running.url, timeout=20) as http, http.stream("GET", f"/v1/audits/{run_id}/events") as answer:
            ends.extend(kind for _, kind, _ in events(answer) if kind == "end")

    threads = [threading.Thread(target=follow) for _ in range(50)]
    for thread in threads:
        thread.start()
    running.workshop.second.begun.wait(10)
    assert running.http.get("/healthz").json() == {"status": "ok"}
    running.workshop.second.go_on.set()
    for thread in threads:
        thread.join()
    assert ends == ["end"] * 50


def test_cancelling_ends_a_run_and_its_checks_are_reused(running: Running) -> None:
    running.workshop.second.go_on.clear()
    run_id = running.ask().json()["run_id"]
    waiting = running.ask("acme/other").json()["run_id"]
    running.workshop.second.begun.wait(10)
    assert running.http.post(f"/v1/audits/{waiting}/cancel").status_code == 202
    assert running.until(waiting, lambda v: v["state"] == "cancelled")["error"]["detail"]
    assert running.http.post(f"/v1/audits/{run_id}/cancel").status_code == 202
    running.until(run_id, lambda v: v["state"] == "cancelled")
    assert_problem(running.http.post(f"/v1/audits/{run_id}/cancel"), 409, "cancelled")
    assert_problem(running.http.get(f"/v1/audits/{run_id}/report"), 409, "cancelled")
    running.workshop.second.go_on.set()
    again = running.audited()
    assert [c["reused"] for c in again["scorecard"]["dossier"]["checks"]] == [True, False]
    assert running.workshop.first.asked == 1


def test_a_run_without_a_verdict_says_why(running: Running) -> None:
    gone = running.audited("acme/gone")
    assert (gone["state"], gone["scorecard"]) == ("failed", None)
    assert gone["error"] == {"detail": "there is no acme/gone", "hint": "check the name"}
    crashed = running.audited("acme/crash")
    assert crashed["state"] == "failed"
    assert "secret detail" not in json.dumps(crashed)
    assert running.audited("acme/lora")["state"] == "recorded", "the worker outlives both"
    assert "there is no acme/gone" in running.http.get("/").text


def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    with serving(tmp_path, capacity=1) as running:
        running.workshop.second.go_on.clear()
        assert running.ask("acme/one").status_code == 202
        assert running.http.get("/readyz").status_code == 503
        full = running.ask("acme/two")
        assert_problem(full, 503, "full")
        assert int(full.headers["retry-after"]) > 0
        running.workshop.second.go_on.set()


def test_an_interrupted_run_is_lost_and_taken_over_after_a_restart(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    workshop.ledger.note("run.queued", "01QUEUED", {})

    class Killed(BaseException):
        """What kill -9 does, as far as a test can."""

    def kill() -> None:
        if workshop.second.begun.is_set():
            raise Killed

    workshop.second.go_on.clear()
    from governance.subject import ArtifactRef, CompositionRef, SourceKind

    ref = CompositionRef(adapter=ArtifactRef(source=SourceKind.HUB, name="acme/lora"))
    with pytest.raises(Killed):
        workshop.audit(ref, run_id="01RUNNING", checkpoint=kill)
    workshop.ledger.close()
    with serving(tmp_path) as running:
        assert set(running.jobs.lost) == {"01QUEUED", "01RUNNING"}
        listed = running.http.get("/v1/audits").json()["items"]
        assert {v["run_id"]: v["state"] for v in listed} == {"01QUEUED": "lost", "01RUNNING": "lost"}
        with running.http.stream("GET", "/v1/audits/01RUNNING/events") as answer:
            assert list(events(answer))[-1][2]["state"] == "lost"
        again = running.audited()
        assert [c["reused"] for c in again["scorecard"]["dossier"]["checks"]] == [True, False]


def test_stopping_the_service_ends_its_runs(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        running.workshop.second.go_on.clear()
        work, wait = running.ask("acme/one").json()["run_id"], running.ask("acme/two").json()["run_id"]
        running.workshop.second.begun.wait(10)
        running.jobs.close()
        states = [running.workshop.ledger.run(r).state for r in (work, wait)]  # type: ignore[union-attr]
        assert states == [RunState.CANCELLED, RunState.CANCELLED]
        assert_problem(running.ask("acme/three"), 503, "stopping")


def test_lists_filter_and_page(running: Running) -> None:
    ids = [running.audited(name)["run_id"] for name in ("acme/a", "acme/hostile", "acme/b", "acme/b")]
    first = running.http.get("/v1/scorecards?limit=3")
    assert [r["run_id"] for r in first.json()["items"]] == ids[:0:-1]
    assert first.headers["link"] == f'<{first.json()["next"]}>; rel="next"'
    second = running.http.get(first.json()["next"]).json()
    assert ([r["run_id"] for r in second["items"]], second["next"]) == ([ids[0]], None)
    assert [r["name"] for r in running.http.get("/v1/scorecards?decision=reject").json()["items"]] == ["acme/hostile"]
    assert [r["run_id"] for r in running.http.get("/v1/scorecards?repo=acme/b").json()["items"]] == ids[:1:-1]
    assert_problem(running.http.get("/v1/scorecards?colour=red"), 422, "colour")
    runs = running.http.get("/v1/audits?limit=3").json()
    assert [r["run_id"] for r in runs["items"]] == ids[:0:-1]
    assert [r["run_id"] for r in running.http.get(runs["next"]).json()["items"]] == ids[:1]


def test_a_scorecard_is_served_as_recorded_and_cached(running: Running) -> None:
    run_id = running.audited()["run_id"]
    answer = running.http.get(f"/v1/scorecards/{run_id}")
    assert answer.text == running.workshop.ledger.document(run_id)[0]  # type: ignore[index]
    assert "immutable" in answer.headers["cache-control"]
    known = running.http.get(f"/v1/scorecards/{run_id}", headers={"If-None-Match": answer.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    assert_problem(running.http.get("/v1/scorecards/01UNKNOWN"), 404, "no run")


def test_reports_in_every_format(running: Running) -> None:
    run_id = running.audited("acme/hostile")["run_id"]
    for name, form in running.workshop.formats.items():
        answer = running.http.get(f"/v1/audits/{run_id}/report", params={"format": name})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == form.media_type
        assert answer.content == form.render(running.workshop.ledger.scorecard(run_id))  # type: ignore[arg-type]
        assert "script-src" not in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert_problem(running.http.get(f"/v1/audits/{run_id}/report?format=docx"), 406, "html")


def test_hostile_text_stays_text(running: Running) -> None:
    run_id = running.audited("acme/hostile")["run_id"]
    page = running.http.get(f"/scorecards/{run_id}").text
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "\u202e" not in page
    for path in ("/", f"/audits/{run_id}", f"/scorecards/{run_id}", "/audits/<script>alert(1)</script>"):
        answer = running.http.get(path, headers={"Accept": "text/html"})
        assert answer.headers["content-type"].startswith("text/html")
        assert "<script>" not in answer.text
        assert " style=" not in answer.text
        assert "onclick" not in answer.text
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_pages_form_and_cancel(running: Running) -> None:
    running.workshop.second.go_on.clear()
    form = {"ref": "acme/lora", "base": "", "use": "commercial", "policy": ""}
    sent = running.http.post("/audits", data=form, headers={"Origin": running.url})
    assert sent.status_code == 303
    run_id = sent.headers["location"].removeprefix("/audits/")
    assert running.jobs.get(run_id).request.intent.use == "commercial"  # type: ignore[union-attr]
    assert running.http.post(f"/audits/{run_id}/cancel").headers["location"] == f"/audits/{run_id}"
    running.until(run_id, lambda v: v["state"] == "cancelled")
    refused = running.http.post("/audits", data={"ref": "", "use": "world-domination"}, headers={"Accept": "text/html"})
    assert refused.status_code == 422
    assert "<h1>" in refused.text


def test_every_linked_asset_is_there(running: Running) -> None:
    run_id = running.audited()["run_id"]
    for path in ("/static/curator.css", "/static/progress.js", "/static/icon.svg", "/assets/scorecard.css", "/openapi.json"):
        assert running.http.get(path).status_code == 200, path
    assert "/assets/scorecard.css" in running.http.get(f"/scorecards/{run_id}").text


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"ref": "not a name!"}, 422, "Hub name"),
        ({"ref": "acme/../../etc"}, 422, "Hub name"),
        ({"ref": "acme/lora@../../main"}, 422, "revision"),
        ({"ref": "acme/lora", "polcy": "default"}, 422, "polcy"),
        ({"ref": "acme/lora", "policy": "/etc/passwd"}, 422, "policy"),
        ({"ref": "acme/lora", "policy": "unknown"}, 422, "default, strict"),
        ({"ref": "acme/lora", "measure": {"suite": "../x"}}, 422, "suite"),
        ({"ref": "acme/lora", "measure": {"data": "/etc"}}, 422, "data"),
        ({"ref": "acme/lora", "intent": {"use": "any"}}, 422, "use"),
        ({"ref": "/etc"}, 403, "not open"),
        ({"ref": "../secrets"}, 403, "not open"),
        ({"ref": "~/secrets"}, 422, "Hub name"),
        ({"ref": "./link-out"}, 403, "not open"),
        ({"ref": {"adapter": {"source": "local", "name": "/etc"}}}, 403, "not open"),
        ({"ref": "acme/lora", "base": "/etc"}, 403, "not open"),
        ({}, 422, "ref"),
    ],
)
def test_what_is_refused(running: Running, tmp_path: Path, body: dict, status: int, words: str) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "link-out").symlink_to("/etc")
    assert_problem(running.http.post("/v1/audits", json=body), status, words)
    assert running.workshop.ledger.runs() == ()


def test_folders_below_the_opened_one_are_audited(running: Running, tmp_path: Path) -> None:
    inside = tmp_path / "open" / "adapter"
    inside.mkdir(parents=True)
    for ref in ("./adapter", str(inside)):
        assert running.audited(ref)["scorecard"]["dossier"]["composition"]["adapter"]["name"] == str(inside)


def test_no_folder_is_open_unless_the_operator_says_so(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        assert_problem(running.ask(str(tmp_path)), 403, "--allow-folder")


def test_bodies_are_bounded_and_typed(running: Running) -> None:
    big = json.dumps({"ref": "a" * (2**20)}).encode()
    head = {"Content-Type": "application/json"}
    assert_problem(running.http.post("/v1/audits", content=big, headers=head), 413)
    pieces = (big[i : i + 65536] for i in range(0, len(big), 65536))
    assert_problem(running.http.post("/v1/audits", content=pieces, headers=head), 413)
    assert_problem(running.http.post("/v1/audits", content=b"{nonsense", headers=head), 422)
    assert_problem(running.http.post("/v1/audits", content=b'{"ref": "acme/lora"}', headers={"Content-Type": "text/plain"}), 422)
    assert_problem(running.http.delete("/v1/audits"), 405)
    assert_problem(running.http.get("/v1/nothing"), 404)


def test_other_sites_cannot_reach_it(running: Running) -> None:
    rebound = running.http.get("/v1/audits", headers={"Host": "evil.example"})
    assert_problem(rebound, 403, "evil.example")
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert_problem(running.http.post("/v1/audits", json={"ref": "acme/lora"}, headers=headers), 403, "another site")
    for name in ("localhost", "127.0.0.1:8321", "[::1]:8321", "LOCALHOST:1"):
        assert running.http.get("/healthz", headers={"Host": name}).status_code == 200
    assert running.workshop.ledger.runs() == ()


def test_with_a_token_every_path_but_the_public_ones_is_closed(tmp_path: Path) -> None:
    basic = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()
    wrong = ("", TOKEN, f"Bearer {TOKEN}x", "Bearer", "Basic !!!", "Basic " + base64.b64encode(b"x:y").decode(), "Bearer \u00e9")
    with serving(tmp_path, token=TOKEN) as running:
        for path in ("/", "/audits/x", "/scorecards/x", "/assets/scorecard.css", *openapi_document()["paths"], "/openapi.json"):  # type: ignore[misc]
            if path in ("/healthz", "/readyz"):
                continue
            answer = running.http.get(path)
            assert_problem(answer, 401, "token")
            assert answer.headers["www-authenticate"].startswith("Bearer" if path.startswith("/v1") else "Basic")
        for shown in wrong:
            assert running.http.get("/v1/audits", headers={"Authorization": shown.encode("latin-1")}).status_code == 401
        for shown in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {basic}"):
            head = {"Authorization": shown, "Host": "curator.clinic.example"}
            assert running.http.get("/v1/audits", headers=head).status_code == 200
        assert running.http.get("/healthz").status_code == 200
        assert running.http.get("/static/curator.css").status_code == 200
        assert running.ask().status_code == 401
        assert running.workshop.ledger.runs() == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "curator.clinic.example", "10.0.0.1", ""])
def test_strangers_need_a_token(host: str) -> None:
    with pytest.raises(PrerequisiteError) as caught:
        assert_may_bind(host, None)
    assert "CURATOR_API_TOKEN" in caught.value.hint
    assert_may_bind(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.9.1"])
def test_this_machine_does_not(host: str) -> None:
    assert_may_bind(host, None)


def test_the_answers_fit_the_openapi_document(running: Running) -> None:
    document = openapi_document()

    def assert_fits(name: str, value: object) -> None:
        jsonschema.validate(value, {"$ref": f"#/components/schemas/{name}", "components": document["components"]})

    view = running.audited("acme/hostile")
    assert_fits("AuditView", view)
    assert_fits("AuditView", running.audited("acme/gone"))
    assert_fits("Scorecard", running.http.get(f"/v1/scorecards/{view['run_id']}").json())
    assert_fits("Runs", running.http.get("/v1/audits").json())
    assert_fits("Scorecards", running.http.get("/v1/scorecards").json())
    assert_fits("Problem", running.http.get("/v1/audits/unknown").json())
    assert_fits("Problem", running.ask("acme/lora", policy="Not Kebab").json())


def test_the_committed_openapi_document_is_current() -> None:
    assert json.loads((DOCS / "openapi.json").read_text()) == openapi_document(), "run: make docs"
