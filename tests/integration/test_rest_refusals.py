"""What the service refuses: strangers, other sites, other folders, and requests that are too large or make no sense."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.access import assert_may_bind
from api.rest.app import openapi_document
from governance.errors import PrerequisiteError
from tests.served import Running, assert_problem, serving

TOKEN = "an-access-token-of-some-length"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path, allow_folder=tmp_path / "open") as served:
        yield served


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service no test may leave anything in."""
    folder = tmp_path_factory.mktemp("refusing")
    (folder / "open").mkdir()
    (folder / "open" / "link-out").symlink_to("/etc")
    with serving(folder, allow_folder=folder / "open") as served:
        yield served


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
def test_what_is_refused(refusing: Running, body: dict, status: int, words: str) -> None:
    assert_problem(refusing.http.post("/v1/audits", json=body), status, words)
    assert refusing.workshop.ledger.runs() == ()


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
