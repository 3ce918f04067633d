"""What real writers leave beside an adapter is accepted: torch in both layouts, numpy, joblib, scikit-learn, trainers."""

from __future__ import annotations

import pickle
import random
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from governance.context import RunContext
from governance.evidence import Coverage, Finding, Outcome, Severity
from scanners.pickle_imports import PLUGIN
from tests.builders_adapters import composition

if TYPE_CHECKING:
    from collections.abc import Iterable

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")
pytestmark = pytest.mark.slow


def loud(files: dict[str, bytes], ctx: RunContext) -> list[str]:
    """Return findings above low, and what was not read."""
    said = list(PLUGIN.scan(composition(files, None, ctx), ctx))
    found = [f"{s.severity} {s.message}" for s in said if isinstance(s, Finding) and s.severity.rank > Severity.LOW.rank]
    return found + [f"{s.item}: {s.reason}" for s in said if isinstance(s, Coverage) and s.outcome is Outcome.SKIPPED]


def saved(value: Any, *, zipped: bool) -> bytes:
    out = BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


def trained() -> Iterable[tuple[str, Any]]:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.TransformerEncoderLayer(4, 1, 8))
    for kind in (torch.optim.AdamW, torch.optim.SGD, torch.optim.Adam):
        optimizer = kind(model.parameters(), lr=1e-3)
        model[0](torch.ones(1, 4)).sum().backward()
        optimizer.step()
        yield f"optimizer_{kind.__name__}.pt", optimizer.state_dict()
    yield "scheduler.pt", torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0).state_dict()
    yield "scaler.pt", torch.amp.GradScaler("cpu").state_dict()
    states = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.random.get_rng_state()}
    yield "rng_state_0.pth", states
    yield "adapter_model.bin", {"a.lora_A.weight": torch.nn.Parameter(torch.ones(2, 3)), "b": torch.zeros(4, dtype=torch.bfloat16)}
    yield "pytorch_model.bin", model
    yield "odd.pt", [torch.device("cpu"), torch.Size([1, 2]), torch.float16, torch.ones(2, 2).t(), torch.ones(3).to_sparse()]


@pytest.mark.parametrize("zipped", [True, False])
def test_torch(ctx: RunContext, zipped: bool) -> None:
    assert loud({name: saved(value, zipped=zipped) for name, value in trained()}, ctx) == []


def test_settings_of_a_trainer(ctx: RunContext, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    made = transformers.TrainingArguments(str(tmp_path), report_to=[], use_cpu=True, save_strategy="no")
    assert loud({"training_args.bin": saved(made, zipped=True), "old/training_args.bin": saved(made, zipped=False)}, ctx) == []


def test_numpy(ctx: RunContext) -> None:
    arrays = {"a": np.arange(6.0), "b": np.array([{"a": 1}, None, "x"], dtype=object), "c": np.array(["a", "bc"]),
              "d": np.zeros(2, dtype=[("x", "<i4"), ("y", "<f8")]), "e": np.array(["2026-01-01"], dtype="M8[D]")}  # fmt: skip
    out = BytesIO()
    np.savez(out, **arrays)
    files = {"all.npz": out.getvalue(), "rng.pkl": pickle.dumps(np.random.default_rng(1))}
    for protocol in range(6):
        files[f"p{protocol}.pkl"] = pickle.dumps([*arrays.values(), np.float32(1), np.ma.masked_array([1, 2], [0, 1])], protocol)
    for name, array in arrays.items():
        one = BytesIO()
        np.save(one, array, allow_pickle=True)
        files[f"{name}.npy"] = one.getvalue()
    assert loud(files, ctx) == []


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_joblib_and_scikit_learn(ctx: RunContext, compress: Any) -> None:
    joblib, ensemble = pytest.importorskip("joblib"), pytest.importorskip("sklearn.ensemble")
    linear, pipeline, preprocessing = (pytest.importorskip(f"sklearn.{n}") for n in ("linear_model", "pipeline", "preprocessing"))
    text, svm = pytest.importorskip("sklearn.feature_extraction.text"), pytest.importorskip("sklearn.svm")
    x, y = np.random.default_rng(0).random((30, 3)), np.arange(30) % 2
    made = {
        "forest": ensemble.RandomForestClassifier(3).fit(x, y), "gb": ensemble.GradientBoostingClassifier(n_estimators=2).fit(x, y),
        "hist": ensemble.HistGradientBoostingClassifier(max_iter=2).fit(x, y), "svm": svm.SVC().fit(x, y),
        "pipe": pipeline.make_pipeline(preprocessing.StandardScaler(), linear.LogisticRegression()).fit(x, y),
        "text": text.TfidfVectorizer().fit(["a word", "another word"]), "raw": {"x": x, "o": np.array([None, "a"], dtype=object)},
    }  # fmt: skip
    files = {}
    for name, value in made.items():
        out = BytesIO()
        joblib.dump(value, out, compress=compress)
        files[f"{name}.joblib"] = out.getvalue()
    assert loud(files, ctx) == []


def test_pandas(ctx: RunContext) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None], "c": pandas.to_datetime(["2026-01-01", "2026-01-02"]),
                              "d": pandas.Categorical(["u", "v"]), "e": pandas.array([1, None], dtype="Int64")})  # fmt: skip
    files = {f"{p}.pkl": pickle.dumps([frame, frame["a"], pandas.Timestamp("2026-01-01"), pandas.NaT], p) for p in (2, 4, 5)}
    assert loud(files, ctx) == []
