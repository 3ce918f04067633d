"""The development hub as the real client sees it, and endpoints that are no hub at all."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from huggingface_hub import HfApi, snapshot_download

from api.devhub import Answer, Asked, DevHub, serve
from governance.context import RunContext
from governance.errors import SubjectError
from governance.hub import Acquirer
from governance.subject import ArtifactRef, CompositionRef, Description, SourceKind
from tests.hub_simulator import Simulator, fill, running

WEIGHTS = bytes(range(256)) * 4_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "hub"
    fill(root / "acme" / "lora", {"adapter_config.json": b"{}", "adapter_model.safetensors": WEIGHTS, "README.md": b"# x"})
    for branch in ("main", "next"):
        fill(root / "acme" / "moving" / branch, {"config.json": branch.encode()})
    return root


def test_the_development_hub_satisfies_the_client_itself(folder: Path, tmp_path: Path) -> None:
    with serve(folder) as hub:
        api = HfApi(endpoint=hub.url, token=False)
        info = api.model_info("acme/lora", files_metadata=True)
        tree = {e.path: e for e in api.list_repo_tree("acme/lora", recursive=True, revision=info.sha)}
        assert (
            tree["adapter_model.safetensors"].lfs.sha256
            == {s.rfilename: s for s in info.siblings}["adapter_model.safetensors"].lfs.sha256
        )
        assert [p.path for p in api.get_paths_info("acme/lora", ["README.md"], revision=info.sha)] == ["README.md"]
        assert [b.name for b in api.list_repo_refs("acme/moving").branches] == ["main", "next"]
        assert api.list_repo_commits("acme/lora")[0].commit_id == info.sha
        copy = snapshot_download("acme/lora", endpoint=hub.url, token=False, cache_dir=tmp_path / "cache", etag_timeout=5)
        assert (Path(copy) / "adapter_model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("path", ["../lora/README.md", "..", "README.md/", "", "%2e%2e/x"])
def test_the_development_hub_serves_listed_files_only(path: str, folder: Path) -> None:
    asked = Asked("GET", ("acme", "moving", "resolve", "main", *path.split("/")))
    assert DevHub(folder).answer(asked).status == 404
    assert DevHub(folder).answer(Asked("GET", ("api", "models", "..", "hub"))).status == 404


def test_an_endpoint_that_is_not_there_or_no_hub(ctx: RunContext, folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ref = CompositionRef(adapter=ArtifactRef(source=SourceKind.HUB, name="acme/lora"))

    def source(endpoint: str, *, offline: bool = False) -> Acquirer:
        return Acquirer(describe=lambda subject, ctx: Description(), endpoint=endpoint, token=None, offline=offline, backoff=0.0)

    with pytest.raises(SubjectError, match="cannot be reached") as caught:
        source(f"http://127.0.0.1:{port}").acquire(ref, ctx)
    assert "HF_ENDPOINT" in caught.value.hint
    with pytest.raises(SubjectError, match="cannot be reached"):
        source("no-address").acquire(ref, ctx)
    with pytest.raises(SubjectError, match="offline") as caught:
        source(f"http://127.0.0.1:{port}", offline=True).acquire(ref, ctx)
    assert "pass the adapter's folder" in caught.value.hint
    hub = Simulator(folder)
    with running(hub) as served:
        hub.faults.first = [Answer(200, {"Content-Type": "text/html"}, b"<html>welcome</html>")]
        with pytest.raises(SubjectError, match="does not answer like a Hub"):
            source(served.url).acquire(ref, ctx)
        hub.faults.first = [Answer(200, {"Content-Type": "application/json"}, json.dumps({"id": "acme/lora"}).encode())]
        with pytest.raises(SubjectError, match="names no commit"):
            source(served.url).acquire(ref, ctx)
