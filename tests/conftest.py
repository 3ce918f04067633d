"""Options, markers and fixtures every test may use."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

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
