"""The real Hub client against a hub on localhost, whole and with faults: what is pinned, verified, retried, refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.devhub import Answer
from governance.context import Limits, Progress, RunContext
from governance.errors import Cancelled, CuratorError, LimitError, SubjectError
from governance.hub import Acquirer
from governance.subject import ArtifactRef, Composition, CompositionRef, Description, SourceKind, Subject
from tests.hub_simulator import Simulator, fill, running

WEIGHTS = bytes(range(256)) * 12_000
CARD = b"---\nlicense: apache-2.0\nbase_model: acme/base-8b\n---\n# lora\n"
TOKEN = "hf_only-for-this-endpoint"

Acquire = Callable[..., Composition]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "hub"
    adapter = {"adapter_config.json": b'{"r": 8}', "adapter_model.safetensors": WEIGHTS, "README.md": CARD, "notes.bin": b"pickle"}
    fill(root / "acme" / "lora", adapter)
    base = {
        "config.json": b"{}",
        "tokenizer.json": b"{}",
        "LICENSE": b"terms",
        "model.safetensors": b"w" * 5000,
        "pytorch_model.bin": b"p" * 5000,
        "original/notes.txt": b"n",
    }
    fill(root / "acme" / "base-8b", base)
    fill(root / "acme" / "moving" / "main", {"adapter_config.json": b"old", "adapter_model.safetensors": b"old weights"})
    fill(root / "acme" / "moving" / "next", {"adapter_config.json": b"new", "adapter_model.safetensors": b"new weights"})
    fill(root / "datasets" / "acme" / "exam", {"README.md": b"# exam", "data/test.jsonl": b'{"q": 1}\n', "load.py": b"x"})
    return root


@pytest.fixture
def hub(folder: Path) -> Simulator:
    return Simulator(folder, gated=("acme/gated", "acme/base-gated"), token=TOKEN)


@pytest.fixture
def endpoint(hub: Simulator) -> Iterator[str]:
    with running(hub) as served:
        yield served.url


def names(base: str | None) -> Callable[[Subject, RunContext], Description]:
    """Describe an adapter that names a base in its configuration."""
    claims = [{"by": "adapter-config", "name": base, "where": "adapter_config.json#base_model_name_or_path"}] if base else []

    def describe(subject: Subject, ctx: RunContext) -> Description:
        is_adapter = subject.file("adapter_config.json") is not None
        return Description.model_validate({"kind": "adapter", "claims": claims} if is_adapter else {"kind": "model"})

    return describe


@pytest.fixture
def acquire(endpoint: str, ctx: RunContext) -> Acquire:
    def call(
        name: str = "acme/lora",
        *,
        revision: str | None = None,
        base: str | None = "acme/base-8b",
        asked: str | None = None,
        token: str | None = None,
        ctx: RunContext = ctx,
        weights: bool = True,
        backoff: float = 0.0,
    ) -> Composition:
        source = Acquirer(describe=names(base), endpoint=endpoint, token=token, base_weights=weights, backoff=backoff)
        adapter = ArtifactRef(source=SourceKind.HUB, name=name, revision=revision)
        wanted = ArtifactRef(source=SourceKind.HUB, name=asked) if asked else None
        return source.acquire(CompositionRef(adapter=adapter, base=wanted), ctx)

    return call


def nothing_incoming(ctx: RunContext) -> bool:
    return not list((ctx.store.root / "incoming").glob("*"))


def test_adapter_and_base_are_pinned_fetched_and_verified(acquire: Acquire, hub: Simulator, ctx: RunContext) -> None:
    told: list[Progress] = []
    found = acquire(ctx=replace(ctx, emit=told.append))
    assert len(found.adapter.commit or "") == 40
    assert [f.path for f in found.adapter.files] == ["README.md", "adapter_config.json", "adapter_model.safetensors", "notes.bin"]
    assert ctx.store.path(found.adapter, "adapter_model.safetensors").read_bytes() == WEIGHTS
    assert all(f.sha512 and f.digest_source == "computed" for f in found.adapter.files)
    assert (found.adapter.license, len(found.adapter.repository_id or "")) == ("apache-2.0", 24)
    assert found.base is not None
    assert {f.path for f in found.base.files if f.present} == {"LICENSE", "config.json", "model.safetensors", "tokenizer.json"}
    left = found.base.file("pytorch_model.bin")
    assert left is not None
    assert (left.present, left.digest_source) == (False, "hub-lfs-oid")
    assert "not needed" in dict(found.base.refused)["original/notes.txt"]
    assert [(c.by, c.name) for c in found.description.claims] == [("adapter-config", "acme/base-8b"), ("hub", "acme/base-8b")]
    first = hub.paths()
    assert first.index("adapter_config.json") < first.index("adapter_model.safetensors")
    assert "pytorch_model.bin" not in first
    assert all(a.parts[3] == found.adapter.commit for a in hub.asked if a.parts[:3] == ("acme", "lora", "resolve"))
    assert {p.item for p in told} >= {"acme/lora", "adapter_model.safetensors", "acme/base-8b"}
    assert found == acquire()


def test_a_base_nobody_loads_is_listed_with_the_same_digest(acquire: Acquire, hub: Simulator, ctx: RunContext) -> None:
    light = acquire(weights=False)
    assert "model.safetensors" not in hub.paths()
    whole = acquire()
    assert light.digest == whole.digest
    assert whole.base is not None
    assert ctx.store.path(whole.base, "model.safetensors").read_bytes() == b"w" * 5000


def test_a_branch_that_moves_between_two_calls_stays_pinned(acquire: Acquire, hub: Simulator, ctx: RunContext) -> None:
    hub.faults.moves_to = "next"
    found = acquire("acme/moving", base=None)
    assert ctx.store.path(found.adapter, "adapter_config.json").read_bytes() == b"old"
    moved = acquire("acme/moving", base=None)
    assert moved.adapter.commit != found.adapter.commit
    assert acquire("acme/moving", revision=found.adapter.commit, base=None).adapter.digest == found.adapter.digest


@pytest.mark.parametrize("path", ["adapter_model.safetensors", "adapter_config.json"])
def test_altered_bytes_are_an_error_and_nothing_is_kept(path: str, acquire: Acquire, hub: Simulator, ctx: RunContext) -> None:
    hub.faults.altered = path
    with pytest.raises(SubjectError, match=f"{path} is not what the Hub lists") as caught:
        acquire()
    assert "should be" in caught.value.message
    assert caught.value.hint
    assert nothing_incoming(ctx)
    assert not (ctx.store.root / "snapshots").exists()


@pytest.mark.parametrize("fault", ["longer", "endless"])
def test_a_body_that_goes_on_is_cut_off(fault: str, acquire: Acquire, hub: Simulator, ctx: RunContext) -> None:
    setattr(hub.faults, fault, "adapter_model.safetensors")
    with pytest.raises(SubjectError, match="size should be 3072000 bytes"):
        acquire()
    assert nothing_incoming(ctx)


@pytest.mark.parametrize("size", [10, 4_000_000])
def test_a_wrong_size_is_an_error(size: int, acquire: Acquire, hub: Simulator) -> None:
    hub.faults.listed_size = {"adapter_model.safetensors": size}
    with pytest.raises(SubjectError, match=f"size should be {size} bytes, got 3072000"):
        acquire()


@pytest.mark.parametrize("no_ranges", [False, True])
def test_a_dropped_connection_is_taken_up_again(no_ranges: bool, acquire: Acquire, hub: Simulator, ctx: RunContext) -> None:
    hub.faults.drop_after, hub.faults.drops, hub.faults.no_ranges = 1_100_000, 2, no_ranges
    found = acquire(base=None)
    assert ctx.store.path(found.adapter, "adapter_model.safetensors").read_bytes() == WEIGHTS
    ranges = [a.headers["range"] for a in hub.asked if "range" in a.headers]
    assert ranges[0].startswith("bytes=")
    assert ranges[0] != "bytes=0-"


def test_a_connection_that_always_drops_ends_and_what_is_complete_is_kept(
    acquire: Acquire, hub: Simulator, ctx: RunContext
) -> None:
    hub.faults.drop_after, hub.faults.drops, hub.faults.no_ranges = 1_100_000, 99, True
    with pytest.raises(SubjectError, match="broke 5 times") as caught:
        acquire(base=None)
    assert "try again" in caught.value.hint
    hub.faults.drops = 0
    acquire(base=None)
    hub.asked.clear()
    acquire(base=None)
    assert "adapter_model.safetensors" not in hub.paths(), "finished large files are taken from the store"


def test_a_copy_the_disk_altered_is_fetched_again(acquire: Acquire, hub: Simulator, ctx: RunContext) -> None:
    found = acquire(base=None)
    weights = found.adapter.file("adapter_model.safetensors")
    assert weights is not None
    copy = ctx.store.blob(weights.sha256)
    copy.chmod(0o644)
    copy.write_bytes(b"rot")
    acquire(base=None)
    assert ctx.store.blob(weights.sha256).read_bytes() == WEIGHTS


def test_too_many_requests_and_server_errors_are_waited_out(acquire: Acquire, hub: Simulator) -> None:
    hub.faults.first = [Answer(429, {"Retry-After": "1"}), Answer(503), Answer(500)]
    begun = time.monotonic()
    assert acquire(base=None).adapter.commit
    assert time.monotonic() - begun >= 1.0
    hub.faults.first = [Answer(429, {"Retry-After": "86400"})]
    with pytest.raises(SubjectError, match="asks to wait 86400 s"):
        acquire(base=None)
    hub.faults.first = [Answer(502)] * 5
    with pytest.raises(SubjectError, match="status 502"):
        acquire(base=None)
    assert not hub.faults.first


def test_waiting_ends_when_the_audit_is_cancelled(acquire: Acquire, hub: Simulator, ctx: RunContext) -> None:
    hub.faults.first = [Answer(429, {"Retry-After": "100"})]

    def checkpoint() -> None:
        if not hub.faults.first:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        acquire(ctx=replace(ctx, checkpoint=checkpoint))


@pytest.mark.parametrize(
    ("name", "revision", "message", "hint"),
    [
        ("acme/nothing", None, "no repository acme/nothing", "spelling"),
        ("acme/lora", "v9", "no revision 'v9'", "branch"),
        ("acme/lora", "0" * 40, "no revision", "branch"),
        ("acme/gated", None, "acme/gated is gated: no token was given", "accept the terms of acme/gated at http"),
    ],
)
def test_what_may_not_be_read_is_an_error_with_the_way_out(
    name: str, revision: str | None, message: str, hint: str, acquire: Acquire, folder: Path
) -> None:
    fill(folder / "acme" / "gated", {"adapter_config.json": b"{}"})
    with pytest.raises(SubjectError, match=message) as caught:
        acquire(name, revision=revision)
    assert hint in caught.value.hint


def test_a_token_opens_what_is_gated_and_is_sent_nowhere_else(
    acquire: Acquire, hub: Simulator, folder: Path, tmp_path: Path
) -> None:
    fill(folder / "acme" / "gated", {"adapter_config.json": b"{}", "adapter_model.safetensors": WEIGHTS})
    assert acquire("acme/gated", base=None, token=TOKEN).adapter.commit
    with pytest.raises(SubjectError, match="the token given does not allow it"):
        acquire("acme/gated", base=None, token="hf_wrong")
    other = Simulator(folder)
    hub.asked.clear()
    with running(other) as elsewhere:
        hub.faults.redirect = elsewhere.url
        acquire("acme/lora", base=None, token=TOKEN)
    assert {a.headers.get("authorization") for a in hub.asked} == {f"Bearer {TOKEN}"}
    assert other.paths() == hub.paths() != []
    assert all("authorization" not in a.headers for a in other.asked)


def test_no_token_is_taken_from_the_environment(acquire: Acquire, hub: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_from-the-environment")
    acquire(base=None)
    assert hub.asked
    assert all("authorization" not in a.headers for a in hub.asked)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_out_of_http_is_not_followed(target: str, acquire: Acquire, hub: Simulator) -> None:
    hub.faults.redirect = target
    with pytest.raises(SubjectError, match="not followed"):
        acquire(base=None)


def test_a_redirect_in_a_circle_ends(acquire: Acquire, hub: Simulator, endpoint: str) -> None:
    hub.faults.redirect = endpoint
    with pytest.raises(SubjectError, match="redirects more than"):
        acquire(base=None)


@pytest.mark.parametrize(
    ("base", "words"),
    [("acme/nothing", "no repository acme/nothing"), ("acme/base-gated", "accept the terms"), ("../base", "local path")],
)
def test_without_its_base_an_adapter_is_still_acquired(base: str, words: str, acquire: Acquire, folder: Path) -> None:
    fill(folder / "acme" / "base-gated", {"config.json": b"{}"})
    fill(folder / "acme" / "lora", {"README.md": b"# no base named\n"})
    found = acquire(base=base)
    assert found.base is None
    assert words in found.base_reason


def test_a_base_that_was_asked_for_wins_and_has_to_be_there(acquire: Acquire, folder: Path) -> None:
    fill(folder / "acme" / "other", {"config.json": b"other", "model.safetensors": b"o"})
    found = acquire(asked="acme/other")
    assert found.base is not None
    assert found.base.name == "acme/other"
    assert [c.by for c in found.description.claims] == ["request", "adapter-config", "hub"]
    with pytest.raises(SubjectError, match="no repository acme/nothing"):
        acquire(asked="acme/nothing")


def test_a_base_with_altered_bytes_ends_the_audit(acquire: Acquire, hub: Simulator) -> None:
    hub.faults.altered = "model.safetensors"
    with pytest.raises(SubjectError, match="not what the Hub lists"):
        acquire()


def test_names_that_lead_out_are_refused_before_a_request(acquire: Acquire, hub: Simulator, ctx: RunContext) -> None:
    hub.faults.listed_extra = ("../../escape.txt", "/etc/cron.d/x", "a\nb", "ADAPTER_CONFIG.JSON")
    found = acquire(base=None)
    refused = dict(found.adapter.refused)
    assert set(refused) == {"../../escape.txt", "/etc/cron.d/x", "a\\nb", "ADAPTER_CONFIG.JSON"}
    assert not [a for a in hub.asked if ".." in a.parts or "etc" in a.parts]


def test_limits_hold_before_the_download(acquire: Acquire, hub: Simulator, ctx: RunContext) -> None:
    found = acquire(base=None, ctx=replace(ctx, limits=Limits(file_bytes=1000)))
    assert "limits.file_bytes" in dict(found.adapter.refused)["adapter_model.safetensors"]
    assert "adapter_model.safetensors" not in hub.paths()
    with pytest.raises(LimitError, match="lists 4 files"):
        acquire(ctx=replace(ctx, limits=Limits(files=3)))
    small = acquire("acme/moving", base="acme/base-8b", ctx=replace(ctx, limits=Limits(total_bytes=4000)))
    assert small.base is None
    assert "larger than allowed" in small.base_reason


def test_what_the_disk_cannot_hold_is_said_before_the_download(acquire: Acquire, hub: Simulator, ctx: RunContext) -> None:
    hub.faults.listed_size = {"adapter_model.safetensors": 1 << 55}
    with pytest.raises(CuratorError, match="the disk has") as caught:
        acquire(base=None, ctx=replace(ctx, limits=Limits(file_bytes=1 << 56, total_bytes=1 << 56)))
    assert "CURATOR_HOME" in caught.value.hint
    assert hub.paths() == []


def test_a_data_set_is_fetched_pinned(endpoint: str, ctx: RunContext, hub: Simulator) -> None:
    source = Acquirer(describe=names(None), endpoint=endpoint)
    found = source.fetch_dataset("acme/exam", None, ctx)
    assert (found / "data" / "test.jsonl").read_bytes() == b'{"q": 1}\n'
    assert not (found / "load.py").exists()
    with pytest.raises(SubjectError, match="no repository acme/none"):
        source.fetch_dataset("acme/none", None, ctx)


def test_a_folder_may_have_its_base_on_a_hub(endpoint: str, ctx: RunContext, folder: Path) -> None:
    source = Acquirer(describe=names("acme/base-8b"), endpoint=endpoint)
    adapter = ArtifactRef(source=SourceKind.LOCAL, name=str(folder / "acme" / "lora"))
    found = source.acquire(CompositionRef(adapter=adapter), ctx)
    assert found.base is not None
    assert found.base.commit
    assert found.adapter.commit is None


def test_a_line_that_breaks_often_but_moves_on_gets_to_the_end(acquire: Acquire, hub: Simulator, folder: Path) -> None:
    fill(folder / "acme" / "large", {"adapter_model.safetensors": bytes(60 << 20)})
    hub.faults.drop_after, hub.faults.drops = 9 << 20, 99
    assert acquire("acme/large", base=None).adapter.files[0].size == 60 << 20
    assert len(hub.paths()) == 7


@pytest.mark.parametrize(
    "entry",
    [
        {"rfilename": "x", "size": -1, "blobId": "0" * 40},
        {"rfilename": "x", "size": 1, "blobId": "short"},
        {"rfilename": "x", "size": 1, "blobId": "0" * 40, "lfs": {"sha256": "z" * 64, "size": 1, "pointerSize": 1}},
        {"rfilename": "x", "size": 1, "blobId": "0" * 40, "lfs": {"sha256": "0" * 64, "size": -1, "pointerSize": 1}},
        {"size": 1},
        "not an object",
    ],
)
def test_a_listing_that_cannot_be_verified_is_refused(entry: object, acquire: Acquire, hub: Simulator) -> None:
    said = json.dumps({"id": "acme/lora", "sha": "a" * 40, "siblings": [entry]}).encode()
    hub.faults.first = [Answer(200, {"Content-Type": "application/json"}, said), Answer(200, {}, b"[]")]
    with pytest.raises(SubjectError) as caught:
        acquire()
    assert "verified" in caught.value.message or "does not answer like a Hub" in caught.value.message
    assert hub.paths() == []
