"""Options, markers and fixtures every test may use."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from governance.context import RunContext
from governance.store import Store

#: The one instant of every test.
ON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
RUN_ID = "01JD7XK3QZT0V5M9W2A8C4E6GH"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--update-goldens``."""
    parser.addoption("--update-goldens", action="store_true", help="rewrite tests/goldens from what the formats render now")


@pytest.fixture
def ctx(tmp_path: Path) -> RunContext:
    """A run context with a fixed clock and id over an empty store."""
    return RunContext(run_id=RUN_ID, on=ON, store=Store(tmp_path / "store"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference data beside the checkout; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("reference data is not here")
    return folder


class Tiny(NamedTuple):
    """Folders of models small enough to be audited in seconds."""

    base: Path
    other_base: Path
    clean: Path


def _card(folder: Path, **said: str) -> None:
    head = "".join(f"{k}: {v}\n" for k, v in said.items())
    (folder / "README.md").write_text(f"---\n{head}---\n# Tiny\n\nMade by a test.\n")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A base, one of another width, and an adapter of the first that changes little; all under Apache-2.0."""
    from tests.tiny_model import make_adapter, make_base

    folder = tmp_path_factory.mktemp("tiny")
    made = Tiny(
        base=make_base(folder / "tiny"),
        other_base=make_base(folder / "wide", width=96),
        clean=make_adapter(folder / "clean", scale=0.001, config={"base_model_name_or_path": "acme/tiny"}),
    )
    for base in (made.base, made.other_base):
        _card(base, license="apache-2.0")
    _card(made.clean, license="apache-2.0", base_model="acme/tiny", library_name="peft")
    return made
