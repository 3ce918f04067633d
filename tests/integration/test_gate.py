"""The forgetting gate on a tiny model: nothing lost is nothing, damage is met early, interrupted runs and shards end alike."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from evaluators._gate import noise  # noqa: E402
from evaluators._model import device  # noqa: E402
from evaluators._model import home as residents  # noqa: E402
from evaluators._runtime import items  # noqa: E402
from evaluators.perplexity import PLUGIN as PERPLEXITY  # noqa: E402
from evaluators.retention import PLUGIN as RETENTION  # noqa: E402
from governance.context import EvaluationSettings, RunContext  # noqa: E402
from governance.evidence import Coverage, ItemRow, Measurement  # noqa: E402
from governance.store import Store  # noqa: E402
from tests.conftest import ON, RUN_ID  # noqa: E402
from tests.tiny_model import compose, make_adapter, make_base  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

_ITEMS = 230
_PLACES = ("harbor", "station", "library", "market", "bridge", "garden", "school")


class InterruptedRunError(Exception):
    """The run ends here."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def data(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions whose right answers are what the base says: it knows all of them, so that there is something to lose."""
    folder = tmp_path_factory.mktemp("data")
    _write(folder, dict.fromkeys(map(str, range(_ITEMS)), 0))
    ctx = context(folder.parent / "first", folder, stop_early=False)
    said: dict[str, ItemRow] = {}
    composition = compose(ctx.store, base, make_adapter(folder.parent / "none", scale=0.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "cpu_count", lambda: 1)
        measured(composition, dataclasses.replace(ctx, keep=lambda row: said.update({row.item_key: row})))
    answers = {}
    for built in items._BUILT.values():
        for item in built.items:
            if item.key in said:
                sums = said[item.key].values["log-probabilities"]
                assert isinstance(sums, list)
                number = str(item.instances[0].args[0]).partition(" on day ")[2].partition("?")[0]
                answers[number] = max(range(3), key=lambda i, found=sums: float(found[i]))
    assert len(answers) == _ITEMS
    _write(folder, answers)
    return folder


def _write(folder: Path, answers: dict[str, int]) -> None:
    words = [["seven", "nine", "a map"], ["the way", "late", "two"], ["a small one", "bats", "when"]]
    lines = [
        json.dumps(
            {
                "id": number,
                "question": f"What was seen at the {_PLACES[int(number) % 7]} on day {number}?",
                "choices": words[int(number) % 3],
                "answer": right,
            }
        )
        for number, right in answers.items()
    ]
    (folder / "seen.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "manifest.json").write_text(json.dumps({"files": [{"file": "seen.jsonl", "kind": "multiple_choice"}]}))


def context(where: Path, data: Path, **settings: Any) -> RunContext:
    store = Store(where)
    return RunContext(
        run_id=RUN_ID,
        on=ON,
        store=store,
        keep=store.keep,
        evaluation=EvaluationSettings(device="cpu", data=data, **settings),
        margins={"general": 0.05},
    )


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(device, "cpu_count", lambda: 1)
    yield
    residents._HOMES.clear()
    items._BUILT.clear()


def measured(composition: Any, ctx: RunContext) -> Measurement:
    said = list(RETENTION.measure(composition, ctx))
    assert [s for s in said if isinstance(s, Coverage) and not s.outcome.checked] == []
    return next(s for s in said if isinstance(s, Measurement) and s.metric == "retention")


def rows(ctx: RunContext) -> dict[tuple[str, str], dict[str, Any]]:
    """All kept rows; ``json`` compares floats by their shortest text, which is bit for bit."""
    kept = [json.loads(line) for p in (ctx.store.root / "rows").glob("*.jsonl") for line in p.read_text().splitlines()]
    found = {(r["model_key"], r["item_key"]): r["values"] for r in kept}
    assert len(found) == len(kept), "a row was kept twice"
    return found


def test_the_base_itself_is_retained_without_a_flip(base: Path, data: Path, tmp_path: Path) -> None:
    ctx = context(tmp_path / "store", data)
    found = measured(compose(ctx.store, base, make_adapter(tmp_path / "a", scale=0.0)), ctx)
    assert found.verdict == "retained"
    assert (found.value, found.base_value, found.details["lost"], found.details["gained"]) == (0.0, 1.0, 0, 0)
    assert (found.examples, found.details["note"]) == ((), "no change beyond noise")
    assert "cross-plan" not in found.details


def test_noise_is_degraded_and_met_by_the_first_unit(base: Path, data: Path, tmp_path: Path) -> None:
    ctx = context(tmp_path / "store", data)
    lost = []
    for scale in (0.05, 1.0, 4.0):
        found = measured(compose(ctx.store, base, make_adapter(tmp_path / f"a{scale}", scale=scale)), ctx)
        lost.append(-found.value)
    assert lost[0] < lost[-1]
    assert found.verdict == "degraded"
    assert found.n == items.CANARY
    assert found.details["items"] == _ITEMS
    assert str(found.details["stopped"]).startswith("degraded beyond doubt after 64 of 230")
    assert {e.change for e in found.examples} == {"lost"}
    assert all(e.question and e.base and e.adapter and e.base != e.adapter for e in found.examples)
    full = measured(compose(ctx.store, base, tmp_path / "a4.0"), context(ctx.store.root, data, stop_early=False))
    assert (full.verdict, full.n, full.details["stopped"]) == ("degraded", _ITEMS, "all items asked")


def test_a_run_interrupted_after_any_row_ends_as_the_undisturbed_one(base: Path, data: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "a", scale=0.1)
    whole = context(tmp_path / "whole", data)
    expected = measured(compose(whole.store, base, adapter), whole)
    for after in (1, 67, 131, 300):
        ctx = context(tmp_path / f"store{after}", data)
        few = iter(range(after))

        def keep(row: ItemRow, few: Iterator[int] = few, ctx: RunContext = ctx) -> None:
            if next(few, None) is None:
                raise InterruptedRunError
            ctx.store.keep(row)

        with pytest.raises(InterruptedRunError):
            measured(compose(ctx.store, base, adapter), dataclasses.replace(ctx, keep=keep))
        assert len(rows(ctx)) == after
        residents._HOMES.clear()
        assert measured(compose(ctx.store, base, adapter), ctx) == expected
        assert rows(ctx) == rows(whole)


def test_shards_leave_nothing_to_ask(base: Path, data: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "a", scale=0.1)
    whole = context(tmp_path / "whole", data, stop_early=False)
    expected = measured(compose(whole.store, base, adapter), whole)
    ctx = context(tmp_path / "store", data, stop_early=False)
    for index in (1, 0):
        part = context(ctx.store.root, data, stop_early=False, shard=(index, 2))
        [said] = list(RETENTION.measure(compose(part.store, base, adapter), part))
        assert isinstance(said, Coverage)
        assert (said.item, said.outcome.checked) == (f"shard {index + 1} of 2", True)
    before = rows(ctx)
    assert measured(compose(ctx.store, base, adapter), ctx) == expected
    assert rows(ctx) == before == rows(whole)


def test_a_poisoned_cache_misses(base: Path, data: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "a", scale=0.1)
    ctx = context(tmp_path / "store", data, stop_early=False)
    asked = 2 * _ITEMS + noise.ITEMS

    def fresh(base: Path, data: Path) -> int:
        count = len(rows(ctx)) if (ctx.store.root / "rows").exists() else 0
        residents._HOMES.clear()
        measured(compose(ctx.store, base, adapter), context(ctx.store.root, data, stop_early=False))
        return len(rows(ctx)) - count

    assert fresh(base, data) == asked
    assert fresh(base, data) == 0
    # Another text in one item is other data.
    other = tmp_path / "data"
    other.mkdir()
    (other / "manifest.json").write_bytes((data / "manifest.json").read_bytes())
    (other / "seen.jsonl").write_text((data / "seen.jsonl").read_text().replace("on day 7?", "on day seven?"))
    assert fresh(base, other) == asked
    # Other weights, and the same weights behind another chat template, are other models.
    assert fresh(make_base(tmp_path / "base", seed=3), data) == asked
    template = make_base(tmp_path / "template")
    (template / "chat_template.jinja").write_text("{% for m in messages %}USER {{ m['content'] }} {% endfor %}BOT")
    assert fresh(template, data) == asked


def test_texts_of_a_folder_are_read_to_the_end(base: Path, tmp_path: Path) -> None:
    """The last text is longer than the model takes at once: every token of it counts, in pieces."""
    folder = tmp_path / "data"
    folder.mkdir()
    long = "The ferry leaves the small harbor at seven in the morning. " * 80
    lines = [json.dumps({"id": str(i), "text": t}) for i, t in enumerate(("Bats find the way by ear.", "A map leaves out.", long))]
    (folder / "notes.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "manifest.json").write_text(json.dumps({"files": [{"file": "notes.jsonl", "kind": "text"}]}))
    ctx = context(tmp_path / "store", folder)
    composition = compose(ctx.store, base, make_adapter(tmp_path / "a", scale=0.4))
    said = list(PERPLEXITY.measure(composition, ctx))
    found = {f"{m.metric}/{m.scope}": m for m in said if isinstance(m, Measurement)}
    [scope] = {k.partition("/")[2] for k in found} - {"general"}
    bits, drift = found[f"bits-per-byte/{scope}"], found[f"kl-divergence/{scope}"]
    assert (bits.n, drift.n) == (3, 3)
    tokens = len(residents.resident(composition, ctx).encode(long))
    assert tokens > 512
    assert int(bits.details["tokens"]) > tokens
    assert bits.details["bytes"] == sum(len(json.loads(line)["text"]) for line in lines)
    assert drift.value > 0
    assert found["bits-per-byte/general"].n >= 12
