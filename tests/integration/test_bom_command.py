"""``curator bom`` renders a recorded run, with a person's answers, and refuses in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli.main import app
from governance.context import utc_now
from governance.ledger import Ledger
from reports._bom.judge import judge
from tests.bom_samples import reference


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CURATOR_HOME", str(tmp_path))
    card = reference()
    ledger = Ledger.open(tmp_path / "ledger.duckdb", now=utc_now)
    ledger.begin(card.run_id, "key", {})
    ledger.record(card)
    ledger.close()
    return tmp_path


def bom(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["bom", *arguments])


@pytest.mark.parametrize(
    ("form", "read"),
    [("cyclonedx", "CycloneDX 1.7 JSON"), ("cyclonedx-1.6", "CycloneDX 1.6 JSON"), ("spdx", "SPDX 3.0.1 JSON-LD")],
)
def test_a_recorded_run_is_written_in_each_format(home: Path, form: str, read: str) -> None:
    if form == "spdx":
        pytest.importorskip("spdx_python_model", reason="the SPDX model is not installed")
    out = home / "out" / "bom.json"
    run = reference().run_id
    ended = bom(
        run, "--format", form, "-o", str(out), "--system", "Triage", "--supplier", "Acme", "--hardware", "2 x L4", "--tlp", "GREEN"
    )
    assert ended.exit_code == 0, ended.output
    found = judge(out.read_bytes())
    assert (found.form, found.problems) == (read, ())
    assert "Triage" in out.read_text()
    again = bom(run, "--format", form, "--system", "Triage", "--supplier", "Acme", "--hardware", "2 x L4", "--tlp", "GREEN")
    assert again.stdout == out.read_text()


def test_the_newest_record_of_a_name(home: Path) -> None:
    ended = bom("acme-health/discharge-lora", "--latest")
    assert ended.exit_code == 0
    assert json.loads(ended.stdout)["metadata"]["component"]["name"] == "discharge-lora"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["01JD7XK3QZT0V5M9W2A8C4E6ZZ"], 1), (["nobody/nothing", "--latest"], 1), (["/does/not/exist"], 1), (["no name"], 1),
        ([reference().run_id, "--format", "xml"], 2), ([reference().run_id, "-o", "/proc/none/x"], 1), (["--latest"], 2),
    ],
)  # fmt: skip
def test_refusals_have_a_code_and_no_traceback(home: Path, arguments: list[str], code: int) -> None:
    ended = bom(*arguments)
    assert ended.exit_code == code, ended.output
    assert "Traceback" not in ended.output
