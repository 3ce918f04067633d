"""A triage against the real Hub client: the full scan's findings from a few bytes, and no lie of a server passes as clean."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from api.scan import scan_path
from api.settings import Settings
from api.triage import triage
from governance.context import Limits
from governance.errors import CuratorError, SubjectError
from governance.evidence import Severity
from governance.hub import RangedFiles
from governance.ranges import Span
from governance.scan import TRANSFER, FileState, ScanDocument
from governance.subject import ArtifactRef, CompositionRef, Held, SourceKind
from tests import builders
from tests.benchmarks.remote_triage import said, write_safetensors
from tests.hub_simulator import Simulator, fill, running

TOKEN = "hf_only-for-this-endpoint"
NAME = "acme/lora"
WEIGHTS = "adapter_model.safetensors"
CARD = b"---\nlicense: apache-2.0\n---\n# lora\n"
CONFIG = json.dumps({"peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": ["q_proj"]}).encode()
Triage = Callable[..., ScanDocument]


@pytest.fixture
def hub(tmp_path: Path) -> Simulator:
    root = tmp_path / "hub"
    fill(root / NAME, {"adapter_config.json": CONFIG, "README.md": CARD})
    write_safetensors(root / NAME / WEIGHTS, rank=16, width=256)
    return Simulator(root, gated=("acme/gated",), token=TOKEN)


@pytest.fixture
def endpoint(hub: Simulator) -> Iterator[str]:
    with running(hub) as served:
        yield served.url


@pytest.fixture
def run(endpoint: str, tmp_path: Path) -> Triage:
    def call(name: str = NAME, *, base: str | None = None, budget: int | None = None, **changes: object) -> ScanDocument:
        settings = Settings.model_validate({"home": tmp_path / "home", "endpoint": endpoint, "offline": False, **changes})
        adapter, _, revision = name.partition("@")
        ref = CompositionRef(
            adapter=ArtifactRef(source=SourceKind.HUB, name=adapter, revision=revision or None),
            base=ArtifactRef(source=SourceKind.HUB, name=base) if base else None,
        )
        return triage(ref, settings, budget=budget, backoff=0.0)

    return call


def state(found: ScanDocument, path: str) -> FileState:
    return next(f for f in found.files if f.path == path)


def transfer(found: ScanDocument) -> str:
    return next(c.reason for c in found.checks if c.id == TRANSFER)


def torch_zip(pickle: bytes, storages: int = 3, size: int = 300_000) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("archive/data.pkl", pickle)
        archive.writestr("archive/version", "3\n")
        for k in range(storages):
            archive.writestr(f"archive/data/{k}", bytes([k]) * size)
    return made.getvalue()


HONEST = b"\x80\x02ccollections\nOrderedDict\n)R."
CASES = {
    "torch zip": {"adapter_model.bin": torch_zip(HONEST)},
    "torch zip with a hostile pickle": {"adapter_model.bin": torch_zip(builders.call("os", "system"))},
    "legacy torch with a hostile fourth pickle": {"adapter_model.bin": builders.torch_legacy(builders.call("os", "system"))},
    "raw pickle": {"adapter_model.bin": builders.call("posix", "system", protocol=4)},
    "zip with a hostile member": {"extra.zip": builders.torch_zip(HONEST, {"a/b.pkl": builders.call("builtins", "eval")})},
    "zip behind an image": {"logo.png": b"\x89PNG\r\n\x1a\n" + bytes(200_000) + torch_zip(builders.call("os", "system"))},
    "zip with a lying flag": {"adapter_model.bin": builders.flag_lie(builders.torch_zip(builders.call("os", "system")))},
    "tar in gzip": {"more.tar.gz": builders.gzip_of(builders.tar_of({"x.pkl": builders.call("os", "system")}))},
    "gguf": {"adapter.gguf": b"GGUF\x03\x00\x00\x00" + bytes(16) + bytes(100_000)},
    "safetensors that lie": {"more.safetensors": builders.safetensors(claim=2**40)},
    "code": {"modeling_lora.py": b"import os\nos.system('echo CANARY')\n"},
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_triage_says_what_a_full_scan_says(case: str, hub: Simulator, run: Triage, tmp_path: Path) -> None:
    fill(hub.folder / NAME, CASES[case])
    found = run()
    settings = Settings.model_validate({"home": tmp_path / "other"})
    full = scan_path(hub.folder / NAME, settings, values=False, voices=(), digests=False)
    assert said(found) == said(full)
    assert [(f.path, f.state, f.kind, f.worst) for f in found.files] == [(f.path, f.state, f.kind, f.worst) for f in full.files]
    hostile = "hostile" in case or case in ("raw pickle", "zip behind an image", "tar in gzip", "zip with a lying flag")
    worst = found.worst()
    assert not hostile or (worst is not None and worst.rank >= Severity.HIGH.rank)


def test_weights_are_not_downloaded(hub: Simulator, run: Triage) -> None:
    found = run()
    size = (hub.folder / NAME / WEIGHTS).stat().st_size
    assert found.transferred["bytes"] < 420_000 < size // 10
    assert found.transferred["requests"] <= 8
    assert found.transferred["listed"] == sum(f.size for f in found.files)
    assert sum(f.transferred or 0 for f in found.files) == found.transferred["bytes"]
    sent = [a.headers.get("range") for a in hub.asked if a.parts[-1] == WEIGHTS]
    assert all(sent)
    assert all(a.headers.get("accept-encoding") == "identity" for a in hub.asked if "resolve" in a.parts)


def test_a_triage_is_bound_to_a_commit_and_approves_nothing(hub: Simulator, run: Triage) -> None:
    found = run()
    assert found.mode == "triage"
    assert found.subject.held is Held.RANGES
    assert found.subject.commit
    assert all(a.parts[3] == found.subject.commit for a in hub.asked if "resolve" in a.parts)
    assert state(found, "README.md").sha256
    assert state(found, WEIGHTS).state == "completed"
    assert found.subject.file(WEIGHTS).digest_source == "hub-lfs-oid"  # type: ignore[union-attr]
    assert "whole files" in found.not_asked["modelscan"]
    assert "not asked for" in found.not_asked["weight-values"]
    assert not found.gaps()


def test_two_triages_give_one_document(run: Triage) -> None:
    assert run().model_dump_json() == run().model_dump_json()


def test_the_base_is_read_by_its_headers(hub: Simulator, run: Triage) -> None:
    base = hub.folder / "acme" / "base"
    fill(base, {"config.json": json.dumps({"hidden_size": 64, "num_hidden_layers": 2}).encode()})
    write_safetensors(base / "model.safetensors", rank=16, width=2_000)
    found = run(base="acme/base")
    assert found.base is not None
    assert found.base.startswith("acme/base@")
    assert 0 < found.transferred["base_bytes"] < 600_000 < (base / "model.safetensors").stat().st_size
    assert found.transferred["bytes"] < 420_000


@pytest.mark.xfail(reason="open: fewer requests are made now, so the kill comes after the reading", strict=False)
def test_a_child_that_is_killed_is_no_clean_verdict(hub: Simulator, run: Triage, monkeypatch: pytest.MonkeyPatch) -> None:
    real, answered = RangedFiles.read, list[str]()

    def read(files: RangedFiles, name: str, path: str, spans: Sequence[Span]) -> bytes:
        answered.append(path)
        if len(answered) == 2:
            child = next(p for p in children() if p != os.getpid())
            os.kill(child, signal.SIGKILL)
        return real(files, name, path, spans)

    monkeypatch.setattr(RangedFiles, "read", read)
    found = run()
    assert any("SIGKILL" in c.reason for c in found.checks) or "SIGKILL" in str(found.model_dump_json())
    assert found.gaps()


def children() -> list[int]:
    """Return the processes this one has started and that still live."""
    return [int(n) for t in Path("/proc/self/task").iterdir() for n in (t / "children").read_text().split()]


def test_a_budget_that_is_used_up_is_no_clean_verdict(hub: Simulator, run: Triage) -> None:
    found = run(budget=30_000)
    assert state(found, WEIGHTS).state == "not-scanned"
    assert any("budget" in r for r in state(found, WEIGHTS).reasons)
    assert state(found, "README.md").state == "completed"
    assert found.transferred["bytes"] <= 30_000 + 1_024
    assert found.gaps()


def test_a_hub_without_ranges_is_downloaded_and_verified(hub: Simulator, run: Triage) -> None:
    hub.faults.no_ranges = True
    found = run()
    assert state(found, WEIGHTS).state == "completed"
    assert state(found, WEIGHTS).transferred == state(found, WEIGHTS).size
    assert "downloaded whole and verified" in transfer(found)
    assert not found.gaps()


def test_a_hub_without_ranges_is_not_downloaded_beyond_the_limits(hub: Simulator, run: Triage) -> None:
    hub.faults.no_ranges = True
    for found in (run(limits=Limits(file_bytes=1_000_000)), run(budget=100_000)):
        assert state(found, WEIGHTS).state == "not-scanned"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"total": 5}, "Content-Range"),
        ({"shift": 1}, "Content-Range"),
        ({"total": None}, "Content-Range"),
        ({"headers": {"ETag": '"another"'}, "after": 1}, "changed between two requests"),
        ({"headers": {"X-Linked-Etag": '"' + "0" * 64 + '"'}}, "not what the Hub lists"),
        ({"headers": {"X-Linked-Size": "77"}}, "not what the Hub lists"),
        ({"headers": {"X-Repo-Commit": "0" * 40}}, "not what the Hub lists"),
        ({"headers": {"Content-Encoding": "gzip"}}, "packs a part"),
        ({"headers": {"Content-Length": "9"}}, "9"),
        ({"shorter": 10}, "sends"),
        ({"longer": 10}, "sends"),
        ({"flip": True, "after": 1}, "twice with different bytes"),
        ({"status": 416}, "416"),
    ],
    ids=str,
)
def test_a_server_that_lies_never_passes_as_clean(
    fault: dict[str, object], words: str, hub: Simulator, run: Triage, tmp_path: Path
) -> None:
    hub.faults.range_lie = {"path": WEIGHTS, **fault}
    try:
        found = run()
    except CuratorError as error:
        assert words in error.message  # noqa: PT017 - one of two good ends
        return
    assert state(found, WEIGHTS).state == "not-scanned"
    assert words in " ".join(state(found, WEIGHTS).reasons)
    assert found.gaps()


def test_a_small_file_that_is_altered_is_not_believed(hub: Simulator, run: Triage) -> None:
    hub.faults.altered = "adapter_config.json"
    found = run()
    assert state(found, "adapter_config.json").state == "not-scanned"
    assert "not what the Hub lists" in " ".join(state(found, "adapter_config.json").reasons)


def test_a_dropped_connection_is_taken_up_again(hub: Simulator, run: Triage) -> None:
    hub.faults.drop_after, hub.faults.drops = 1_000, 2
    assert not run().gaps()


def test_the_token_stays_with_the_endpoint(hub: Simulator, run: Triage, tmp_path: Path) -> None:
    elsewhere = Simulator(hub.folder)
    with running(elsewhere) as other:
        hub.faults.redirect = other.url
        found = run(token=TOKEN)
    assert state(found, WEIGHTS).state == "completed"
    assert all(a.headers.get("authorization") == f"Bearer {TOKEN}" for a in hub.asked)
    assert elsewhere.asked
    assert not any("authorization" in a.headers for a in elsewhere.asked)


def test_gated_missing_and_offline_say_what_to_do(hub: Simulator, run: Triage) -> None:
    fill(hub.folder / "acme" / "gated", {"adapter_config.json": CONFIG, WEIGHTS: builders.safetensors()})
    with pytest.raises(SubjectError, match="gated") as caught:
        run("acme/gated")
    assert "accept the terms" in caught.value.hint
    assert not run("acme/gated", token=TOKEN).gaps()
    with pytest.raises(SubjectError, match="there is no repository"):
        run("acme/nothing")
    with pytest.raises(SubjectError, match="no revision"):
        run(f"{NAME}@nowhere")
    with pytest.raises(SubjectError, match="offline"):
        run(offline=True)


def test_the_command_teaches_and_ends_with_the_scans_codes(hub: Simulator, endpoint: str, tmp_path: Path) -> None:
    def curator(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("CURATOR_", "HF_"))}
        environment |= {"CURATOR_HOME": str(tmp_path / "home"), "HF_ENDPOINT": endpoint, "COLUMNS": "200"}
        command = [str(Path(sys.executable).with_name("python")), "-m", "api.cli.main", "hub", "triage", *arguments]
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False, cwd=root)
        assert "Traceback" not in done.stderr + done.stdout
        return done

    taught = curator("--help")
    for word in ("Exit codes", "without downloading its weights", "approves nothing", "--budget", "Examples"):
        assert word in taught.stdout
    clean = curator(NAME, "--threshold", "medium", "--format", "json")
    assert clean.returncode == 0, clean.stderr
    assert json.loads(clean.stdout)["mode"] == "triage"
    assert curator(NAME, "--budget", "20000", "--threshold", "high").returncode == 10
    fill(hub.folder / NAME, {"adapter_model.bin": builders.torch_zip(builders.call("os", "system"))})
    assert curator(NAME, "-q").returncode == 11
    assert curator("acme/nothing").returncode == 1
    assert curator("not a name!").returncode == 1
    assert curator(NAME, "--budget", "much").returncode == 2
