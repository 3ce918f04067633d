"""``curator scan`` as a person calls it: real files, the real child, exit codes and the document."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli.main import app
from tests.builders import call, folder, safetensors, torch_legacy, torch_zip

HONEST = {"adapter_model.safetensors": safetensors(), "README.md": b"---\nlicense: mit\n---\nhello\n"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep logs below the test's own folder."""
    monkeypatch.setenv("CURATOR_HOME", str(tmp_path / "home"))


def scan(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["scan", "-q", "--no-voices", *arguments])


def document(*arguments: str) -> tuple[int, dict[str, object]]:
    done = scan("--format", "json", *arguments)
    return done.exit_code, json.loads(done.stdout)


def test_an_honest_folder_ends_with_zero_and_every_file_is_accounted_for(tmp_path: Path) -> None:
    where = folder(tmp_path / "a", HONEST)
    code, found = document(str(where))
    assert code == 0
    assert {f["severity"] for f in found["findings"]} <= {"low", "info"}  # type: ignore[union-attr,index]
    files = {f["path"]: f for f in found["files"]}  # type: ignore[union-attr,index]
    assert {k: f["state"] for k, f in files.items()} == {"README.md": "completed", "adapter_model.safetensors": "completed"}
    assert all(len(f["sha256"]) == 64 for f in files.values())
    assert sorted(p.name for p in where.iterdir()) == sorted(HONEST), "a scan leaves nothing behind"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("adapter_model.bin", call("os", "system")),
        ("adapter_model.bin", torch_zip(call("os", "system"))),
        ("adapter_model.bin", torch_legacy(call("os", "system"))),
        ("notes.txt", call("os", "system", protocol=4)),
    ],
)
def test_a_call_is_found_in_a_folder_and_in_a_single_file(tmp_path: Path, name: str, content: bytes) -> None:
    where = folder(tmp_path / "a", {**HONEST, name: content})
    for target in (where, where / name):
        code, found = document(str(target))
        assert code == 11
        worst = found["findings"][0]  # type: ignore[index]
        assert (worst["rule"], worst["severity"], worst["locations"][0]["path"]) == ("pickle-import", "critical", name)
        assert "os.system" in worst["message"] or "posix.system" in worst["message"]


def test_what_cannot_be_opened_is_not_scanned_and_never_zero(tmp_path: Path) -> None:
    where = folder(tmp_path / "a", {**HONEST, "more.rar": b"Rar!\x1a\x07\x01\x00" + bytes(64)})
    code, found = document("--threshold", "medium", str(where))
    assert code == 10
    state = next(f for f in found["files"] if f["path"] == "more.rar")  # type: ignore[union-attr,index]
    assert state["state"] == "not-scanned"
    assert state["reasons"]


def test_a_link_out_of_the_folder_is_reported_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(call("os", "system"))
    where = folder(tmp_path / "a", HONEST)
    os.symlink(tmp_path / "secret", where / "model.pkl")
    code, found = document(str(where))
    assert code == 11
    assert found["findings"][0]["rule"] == "link-escape"  # type: ignore[index]
    assert "pickle-import" not in {f["rule"] for f in found["findings"]}  # type: ignore[union-attr,index]


def test_links_inside_a_hub_cache_are_files_like_any_other(tmp_path: Path) -> None:
    cache = folder(tmp_path / "models--acme--x", {"blobs/aa": safetensors(), "blobs/bb": call("os", "system")})
    snapshot = cache / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    os.symlink("../../blobs/aa", snapshot / "adapter_model.safetensors")
    os.symlink("../../blobs/bb", snapshot / "state.pkl")
    code, found = document(str(snapshot))
    assert code == 11
    assert {f["rule"] for f in found["findings"]} >= {"pickle-import"}  # type: ignore[union-attr,index]


def test_the_same_bytes_give_the_same_document(tmp_path: Path) -> None:
    where = folder(tmp_path / "a", {**HONEST, "x.bin": torch_zip(call("os", "system"))})
    assert scan("--format", "json", str(where)).stdout == scan("--format", "json", str(where)).stdout


def test_bad_usage_and_nothing_to_scan(tmp_path: Path) -> None:
    assert scan(str(tmp_path / "nowhere")).exit_code == 2
    assert scan("--threshold", "terrible", str(tmp_path)).exit_code == 2
    (tmp_path / "empty").mkdir()
    done = scan(str(tmp_path / "empty"))
    assert done.exit_code == 1
    assert "no file" in done.stderr
    assert "Traceback" not in done.output


def test_the_table_names_findings_files_and_gaps(tmp_path: Path) -> None:
    where = folder(tmp_path / "a", {**HONEST, "state.pkl": call("os", "system"), "more.rar": b"Rar!\x1a\x07\x01\x00" + bytes(64)})
    done = scan(str(where))
    assert done.exit_code == 11
    for words in ("pickle-import", "state.pkl", "not scanned: more.rar", "modelscan, picklescan are not switched on"):
        assert words in done.stdout.replace("\n", " ").replace("  ", " "), words
