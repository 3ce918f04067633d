"""The house keeps its own rules: sizes, names, cheap imports, import contracts, documents that are current."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.write_docs import DOCUMENTS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("governance", "scanners", "evaluators", "policies", "reports", "api")
TOP_LEVEL = {*PACKAGES, "tests", "docs", ".ci", ".gitignore", "pyproject.toml", "LICENSE", "Makefile"} | {
    f"{name}.md" for name in ("README", "ARCHITECTURE", "CHANGELOG")
}
MODULES = sorted(p for name in (*PACKAGES, "tests") for p in (ROOT / name).rglob("*.py"))


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return listed.stdout.splitlines()


def test_top_level_holds_what_was_agreed_and_nothing_else() -> None:
    assert {name.split("/")[0] for name in tracked()} <= TOP_LEVEL


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_outgrows_its_room(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", [p for p in MODULES if "tests" not in p.parts], ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_no_other_distribution_owns_our_package_names() -> None:
    owners = packages_distributions()
    for name in PACKAGES:
        assert set(owners.get(name, ())) <= {"model-curator"}, name


def test_assembling_the_curator_loads_no_framework() -> None:
    program = (
        "import sys, scanners, evaluators, reports, api.curator\n"
        "from governance.contracts import Evaluator, ReportFormat, Scanner\n"
        "from governance.plugins import discover\n"
        "discover(scanners, Scanner), discover(evaluators, Evaluator), discover(reports, ReportFormat)\n"
        "print(sorted({'torch', 'transformers', 'peft', 'bitsandbytes', 'lm_eval', 'modelscan', 'altair'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_generated_documents_are_current(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == DOCUMENTS[name](), "run: make docs"


def test_version_is_one() -> None:
    from governance import VERSION

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_no_path_of_a_machine_is_committed() -> None:
    marks = tuple(f"/{name}/" for name in ("work", "farm", "root"))
    for name in tracked():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".yaml", ".toml", ".json", ".html") and not name.startswith("tests/"):
            text = path.read_text(errors="replace")
            assert not any(f" {m}" in text or f'"{m}' in text for m in marks), name
