"""The command line as a user meets it: real processes, bad input with its message, exit codes, formats."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from tests.conftest import Tiny

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def curator(tmp_path: Path) -> Run:
    """Run the installed command with a home of its own."""

    def run(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("curator")), *map(str, arguments)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("CURATOR_", "HF_"))}
        environment |= {"CURATOR_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "COLUMNS": "200"} | (env or {})
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)

    return run


def inspect(curator: Run, folder: Path, base: Path | None = None, *more: str) -> subprocess.CompletedProcess[str]:
    given = ["--base", base] if base else []
    return curator("audit", folder, *given, "--stage", "inspect", "--format", "json", "-q", *more)


def findings(done: subprocess.CompletedProcess[str]) -> set[str]:
    return {f["rule"] for f in json.loads(done.stdout)["dossier"]["findings"]}


def assert_no_traceback(done: subprocess.CompletedProcess[str]) -> None:
    assert "Traceback" not in done.stderr + done.stdout


def test_help_teaches(curator: Run) -> None:
    done = curator("audit", "--help")
    assert done.returncode == 0
    for word in ("Exit codes", "10 review", "Examples", "--base", "--stage", "taken over"):
        assert word in done.stdout


def test_usage_errors_are_two(curator: Run, tiny: Tiny) -> None:
    for arguments in (
        ("audit",),
        ("audit", tiny.clean, "--stage", "nonsense"),
        ("audit", tiny.clean, "--report", "html"),
        ("nonsense",),
    ):
        done = curator(*arguments)
        assert done.returncode == 2, arguments
        assert_no_traceback(done)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("./nowhere", "nowhere"),
        ("not a name!", "neither a folder nor a Hub name"),
        ("owner/name", "offline"),
    ],
)
def test_a_reference_that_leads_nowhere(curator: Run, reference: str, words: str) -> None:
    done = curator("audit", reference, "--format", "json")
    assert done.returncode == 1
    assert words in done.stderr
    assert "what to do" in done.stderr
    assert json.loads(done.stdout)["detail"]
    assert_no_traceback(done)


def test_an_inspection_validates_against_the_committed_schema(curator: Run, tiny: Tiny) -> None:
    done = inspect(curator, tiny.clean, tiny.base)
    schema = json.loads((ROOT / "docs" / "scorecard.schema.json").read_text())
    jsonschema.validate(json.loads(done.stdout), schema, format_checker=jsonschema.FormatChecker())
    assert done.returncode == 10, "without measuring, the policy cannot approve"


def test_a_folder_without_an_adapter_is_said_to_be_one(curator: Run, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "README.md").write_text("# nothing here\n")
    done = inspect(curator, folder)
    assert done.returncode == 1
    assert "holds no adapter: neither adapter_config.json nor weights" in done.stderr
    assert_no_traceback(done)


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def test_an_adapter_for_another_base(curator: Run, tiny: Tiny, tmp_path: Path) -> None:
    done = inspect(curator, tiny.clean, tiny.other_base)
    assert done.returncode == 11
    assert "base-mismatch" in findings(done)


def test_a_truncated_file_is_a_finding(curator: Run, tiny: Tiny, tmp_path: Path) -> None:
    folder = copy(tiny.clean, tmp_path / "short")
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    done = inspect(curator, folder, tiny.base)
    assert done.returncode == 11
    assert "tensor-offsets" in findings(done)


def test_a_header_that_claims_ten_gigabytes(curator: Run, tiny: Tiny, tmp_path: Path) -> None:
    folder = copy(tiny.clean, tmp_path / "bomb")
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", 10 * 2**30) + b'{"a":' + b" " * 100)
    done = inspect(curator, folder, tiny.base)
    assert done.returncode == 11
    assert "tensor-header" in findings(done)


def test_a_pointer_in_place_of_weights(curator: Run, tiny: Tiny, tmp_path: Path) -> None:
    folder = copy(tiny.clean, tmp_path / "pointer")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 123456\n"
    (folder / "adapter_model.safetensors").write_text(pointer)
    done = inspect(curator, folder, tiny.base)
    assert done.returncode in (10, 11)
    assert "content-absent" in findings(done)


def test_an_adapter_that_is_not_lora(curator: Run, tiny: Tiny, tmp_path: Path) -> None:
    folder = copy(tiny.clean, tmp_path / "prompt-tuning")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "NEVER_HEARD_OF"}))
    done = inspect(curator, folder, tiny.base)
    assert done.returncode in (10, 11)
    assert "NEVER_HEARD_OF" in done.stdout


def test_a_pickle_that_runs_code(curator: Run, tiny: Tiny, tmp_path: Path) -> None:
    folder = copy(tiny.clean, tmp_path / "hostile")
    (folder / "adapter_model.bin").write_bytes(b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.")
    done = curator("audit", folder, "--base", tiny.base, "--format", "json", "-q")
    assert done.returncode == 11
    assert "pickle-import" in findings(done)
    skipped = [c for c in json.loads(done.stdout)["dossier"]["checks"] if c["step"] == "evaluate"]
    assert skipped
    assert {c["outcome"] for c in skipped} == {"skipped"}, "no model is loaded for a subject that is already rejected"


def test_a_policy_with_an_unknown_field_and_one_with_a_type_error(curator: Run, tiny: Tiny, tmp_path: Path) -> None:
    text = (ROOT / "policies" / "gates" / "default.yaml").read_text()
    typo = tmp_path / "typo.yaml"
    typo.write_text(text.replace("severity:", "severty:", 1))
    done = curator("audit", tiny.clean, "--policy", typo)
    assert done.returncode == 1
    assert "severty" in done.stderr
    assert "did you mean" in done.stderr
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text.replace(".verdict", ".verdit", 1))
    done = curator("audit", tiny.clean, "--policy", wrong)
    assert done.returncode == 1
    assert "^" in done.stderr
    assert "verdit" in done.stderr
    assert_no_traceback(done)


def test_a_second_curator_is_told_who_holds_the_ledger(curator: Run, tmp_path: Path) -> None:
    from governance.context import utc_now
    from governance.ledger import Ledger

    held = Ledger.open(tmp_path / "home" / "ledger.duckdb", now=utc_now)
    try:
        done = curator("history")
    finally:
        held.close()
    assert done.returncode == 1
    assert "ledger" in done.stderr
    assert_no_traceback(done)


def test_a_recorded_verdict_can_be_shown_in_every_format(curator: Run, tiny: Tiny, tmp_path: Path) -> None:
    run = json.loads(inspect(curator, tiny.clean, tiny.base).stdout)["run_id"]
    for kind, start in (("table", ""), ("json", "{"), ("markdown", ""), ("html", "<!doctype html"), ("cyclonedx", "{")):
        done = curator("report", run, "--format", kind)
        assert done.returncode == 0, done.stderr
        assert done.stdout.lower().lstrip().startswith(start)
    assert run in curator("history", "--format", "json").stdout
    assert "chain intact" in curator("ledger", "verify").stdout


def test_a_full_disk_is_said_plainly(curator: Run, tiny: Tiny) -> None:
    done = inspect(curator, tiny.clean, tiny.base, *())
    assert done.returncode == 10
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    done = curator("report", json.loads(done.stdout)["run_id"], "--format", "html", "--output", full)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert_no_traceback(done)
