"""``curator license`` against folders and against a hub on localhost: lineages, closed parents, drift, exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli.main import app
from tests.hub_simulator import Simulator, fill, running

MIT_CARD = b"---\nlicense: mit\n---\n"


@pytest.fixture
def hub(tmp_path: Path) -> Simulator:
    root = tmp_path / "hub"
    weights = {
        "adapter_config.json": b'{"peft_type": "LORA", "base_model_name_or_path": "acme/tuned"}',
        "adapter_model.safetensors": b"w" * 400,
    }
    card = b"---\nlicense: apache-2.0\nbase_model: acme/tuned\ndatasets: [acme/exam]\n---\nA LoRA.\n"
    fill(root / "acme" / "lora" / "v1", {**weights, "README.md": card})
    fill(root / "acme" / "lora" / "main", {**weights, "README.md": card.replace(b"apache-2.0", b"cc-by-nc-4.0")})
    fill(
        root / "acme" / "tuned",
        {"config.json": b"{}", "README.md": b"---\nlicense: apache-2.0\nbase_model: acme/llama\n---\n", "model.safetensors": b"x"},
    )
    fill(root / "acme" / "llama", {"config.json": b"{}", "README.md": b"---\nlicense: llama3.1\nbase_model: acme/secret\n---\n"})
    fill(root / "acme" / "secret", {"config.json": b"{}", "README.md": MIT_CARD})
    fill(
        root / "datasets" / "acme" / "exam",
        {"README.md": b"---\nlicense: [cc-by-4.0, cc-by-nc-4.0]\n---\n", "train.jsonl": b"{}\n"},
    )
    return Simulator(root, gated=("acme/secret",))


@pytest.fixture
def call(hub: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    with running(hub) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        monkeypatch.setenv("CURATOR_HOME", str(tmp_path / "home"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield None


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["license", *words])


def said(result: Result) -> dict[str, list[dict[str, dict[str, str]]]]:
    found: dict[str, list[dict[str, dict[str, str]]]] = json.loads(result.stdout)
    return found


@pytest.mark.usefixtures("call")
def test_an_adapter_is_held_against_every_ancestor(hub: Simulator) -> None:
    result = run("acme/lora@v1", "-q", "--format", "json", "--purpose", "commercial")
    assert result.exit_code == 11, result.stdout
    found = said(result)
    rules = {(f["evidence"]["rule"], f["evidence"].get("parent", "")) for f in found["findings"]}
    assert ("LIC-NAME", "base:acme/llama") in rules
    assert ("LIC-UPSTREAM", "base:acme/tuned") in rules
    assert ("LIC-DATA-NC", "dataset:acme/exam") in rules
    assert ("LIC-PARENT-UNKNOWN", "base:acme/secret") in rules
    assert any("gated" in str(f["message"]) for f in found["findings"])
    assert (found["model_verdict"], found["use_verdict"]) == ("violation", "ok")
    assert {(c["type"], c["name"], c["license_concluded"]) for c in found["components"]} == {
        ("adapter", "acme/lora", "Apache-2.0"), ("base", "acme/tuned", "Apache-2.0"), ("ancestor", "acme/llama", "llama3.1"),
        ("ancestor", "acme/secret", None), ("dataset", "acme/exam", "CC-BY-4.0 AND CC-BY-NC-4.0"),
    }  # fmt: skip
    assert not [p for p in hub.paths() if p.endswith((".safetensors", ".jsonl"))]
    assert all(len(str(c["version"])) == 40 for c in found["components"] if c["name"] != "acme/secret")


@pytest.mark.usefixtures("call")
def test_drift_names_what_changed() -> None:
    result = run("drift", "acme/lora", "v1", "main", "-q", "--format", "json", "--purpose", "commercial")
    found = said(result)
    assert result.exit_code == 11
    assert {"part": "adapter", "what": "declared", "before": "apache-2.0", "after": "cc-by-nc-4.0"} in found["changes"]
    assert any(str(r).startswith("LIC-NC-USE") for r in found["new_rules"])
    assert any(str(r).startswith("LIC-DATA-NC") for r in found["gone_rules"])


def folder(root: Path, files: dict[str, bytes]) -> Path:
    fill(root, files)
    return root


def test_a_folder_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    weights = {"adapter_config.json": b'{"peft_type": "LORA"}', "adapter_model.safetensors": b"w" * 400}
    base = folder(tmp_path / "base", {"config.json": b"{}", "README.md": b"---\nlicense: mit\n---\n"})
    ours = folder(tmp_path / "ours", {**weights, "README.md": b"---\nlicense: mit\n---\nA LoRA.\n"})
    duties = run(str(ours), "--base", str(base), "-q")
    assert duties.exit_code == 0, duties.stdout
    assert "LIC-TEXT-MISSING" in duties.stdout
    fill(ours, {"model.safetensors": b"w" * 400})
    merged = run(str(ours), "--base", str(base), "-q", "--format", "json")
    assert {f["evidence"]["relation"] for f in said(merged)["findings"]} == {"finetune"}
    (ours / "model.safetensors").unlink()
    nobody = run(str(ours), "-q", "--format", "json")
    assert nobody.exit_code == 10
    assert said(nobody)["open_questions"] == ["purpose", "where", "mau", "revenue"]


def test_what_if_and_its_refusals() -> None:
    asked = ("--child", "apache-2.0", "--name", "user/alpaca-lora", "--relation", "adapter", "--has", "text:apache-2.0")
    result = run("what-if", *asked, "--parent", "base:llama3.1", "--format", "json")
    assert result.exit_code == 0
    found = said(result)
    assert (found["verdict"], found["rules"][0]["id"], found["rules"][0]["remedy"]) == (
        "violation", "LIC-NAME", "rename it to user/Llama-alpaca-lora",
    )  # fmt: skip
    assert run("what-if", "--parent", "lora:mit").exit_code == 2
    assert run("what-if", "--child", "mit", "--format", "table").exit_code == 0
    assert run("cases", __file__).exit_code == 2


def test_cases_are_scored(tmp_path: Path) -> None:
    file = tmp_path / "cases.csv"
    head = "case,child_license,child_license_name,child_name,relation,child_has,parents,context,verdict,expected_rules,grounding\n"
    file.write_text(
        head + "A,apache-2.0,,u/x,adapter,,base:llama3.1,,violation,LIC-NAME,text\nB,mit,,u/x,adapter,,base:mit,,ok,,\n"
    )
    found = said(run("cases", str(file), "--format", "json"))
    assert (found["cases"], found["agree"]) == (2, 1)
    assert "1 of 2 cases agree" in run("cases", str(file)).stdout
