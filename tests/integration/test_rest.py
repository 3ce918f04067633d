"""The service over a real socket: ask, follow, cancel, read."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import jsonschema
import pytest

from api.rest.app import openapi_document
from governance.ledger import RunState
from governance.subject import ArtifactRef, CompositionRef, SourceKind
from tests.served import Running, assert_problem, events, serving
from tests.workshop import Workshop

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path, allow_folder=tmp_path / "open") as served:
        yield served


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


@pytest.mark.xfail(reason="open: the bill of materials refuses a field of this hostile card that no citation covers", strict=False)
def test_reports_in_every_format(running: Running) -> None:
    run_id = running.audited("acme/hostile")["run_id"]
    for name, form in running.workshop.formats.items():
        answer = running.http.get(f"/v1/audits/{run_id}/report", params={"format": name})
        assert answer.status_code == 200, (name, answer.text)
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
