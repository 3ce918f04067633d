"""The table of loaders says who is hit, in words, for each way a pickle is stored."""

from __future__ import annotations

import pytest

from governance.context import RunContext
from governance.evidence import Finding
from scanners._formats.pickles.loaders import loaders, who_is_hit
from scanners.pickle_imports import PLUGIN
from tests.builders_adapters import composition
from tests.recipes import assemble, zipped

CALL = assemble(["PROTO 2", "GLOBAL os system", "BINUNICODE echo", "TUPLE1", "REDUCE", "STOP"])


@pytest.mark.parametrize("layout", ["raw", "torch-zip", "torch-legacy", "torch-tar", "numpy", "joblib"])
def test_each_layout_has_a_loader_that_executes_it(layout: str) -> None:
    assert who_is_hit(layout).startswith("executed by ")


def test_rows_say_their_source() -> None:
    assert all(row.source and row.runs in ("everything", "listed", "nothing") and row.reads for row in loaders())


def test_findings_say_who_is_hit(ctx: RunContext) -> None:
    files = {"a.pkl": CALL, "adapter_model.bin": zipped({"archive/data.pkl": CALL, "archive/version": "3"})}
    said = [s for s in PLUGIN.scan(composition(files, None, ctx), ctx) if isinstance(s, Finding) and s.rule == "pickle-import"]
    words = {s.locations[0].path: s.evidence["loaders"] for s in said}
    assert "joblib" in words["a.pkl"]
    assert "weights_only" in words["adapter_model.bin"]
    assert "refused by torch.load >= 2.10" in words["adapter_model.bin"].replace("torch.load 2.6 to 2.9, ", "")
