"""Adapters of many types on a tiny four-bit Llama: as PEFT answers with unpacked weights, and the base back bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from evaluators._model import canary, device, home  # noqa: E402
from evaluators._model.home import resident  # noqa: E402
from governance.context import EvaluationSettings, RunContext  # noqa: E402
from governance.store import Store  # noqa: E402
from tests.conftest import ON, RUN_ID  # noqa: E402
from tests.tiny_model import compose, make_base  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
_T = {"target_modules": ["q_proj", "v_proj"]}
_TYPES: dict[str, dict[str, Any]] = {
    "LORA": {**_T, "r": 4, "use_dora": True, "use_rslora": True, "modules_to_save": ["lm_head"], "trainable_token_indices": None},
    "ADALORA": {**_T, "total_step": 10, "init_r": 4, "target_r": 2},
    "HIRA": {**_T, "r": 4},
    "IA3": {"target_modules": ["k_proj", "v_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
    "RANDLORA": {**_T, "r": 4},
    "ROAD": {**_T, "group_size": 16},
    "LN_TUNING": {"target_modules": ["input_layernorm", "norm"]},
    "TRAINABLE_TOKENS": {"token_indices": [3, 5], "target_modules": ["embed_tokens"]},
    "BOFT": {**_T},
    "C3A": {**_T, "block_size": 16},
    "FOURIERFT": {**_T, "n_frequency": 20},
    "GRALORA": {**_T, "r": 4, "gralora_k": 2},
    "HRA": {**_T, "r": 4},
    "LOHA": {**_T, "r": 4},
    "LOKR": {**_T, "r": 4},
    "MISS": {**_T, "r": 4},
    "OFT": {**_T, "oft_block_size": 8},
    "SHIRA": {**_T, "r": 2},
    "VBLORA": {**_T, "vector_length": 16, "num_vectors": 8, "r": 2},
    "VERA": {"target_modules": ["q_proj", "o_proj"], "r": 4},
    "DELORA": {**_T, "r": 4},
    "WAVEFT": {**_T, "n_frequency": 32},
    "BEFT": {**_T}, "DEFT": {**_T, "r": 4}, "GLORA": {**_T, "r": 4}, "LILY": {**_T, "r": 4, "num_B": 2},
    "PEANUT": {**_T, "r": 4}, "SUPERTUNING": {**_T, "sparsity": 0.9}, "UNILORA": {**_T, "r": 2, "theta_d_length": 32},
    "PVERA": {"target_modules": ["q_proj", "o_proj"], "r": 4},
}  # fmt: skip
_COMMON = {"LORA", "ADALORA", "IA3", "LOHA", "LOKR", "VERA", "OFT", "LN_TUNING", "TRAINABLE_TOKENS", "HRA"}
ROW = [5, 6, 7, 8, 9, 3, 5]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, because threads that wait for each other cost more than so small a model; no leftovers."""
    monkeypatch.setattr(device, "cpu_count", lambda: 1)
    yield
    home.leave()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("models") / "tiny")


def _run(tmp_path: Path) -> RunContext:
    store = Store(tmp_path / "store")
    return RunContext(run_id=RUN_ID, on=ON, store=store, evaluation=EvaluationSettings(device="cpu"))


def _unpacked(base: Path) -> Any:
    """The base with the values of its four-bit weights, in plain layers of 32 bits."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    from evaluators._model import loading

    model = loading.load_base(base, device.choose("cpu"))
    for name, module in list(model.named_modules()):
        if isinstance(module, Linear4bit):
            plain = torch.nn.Linear(module.in_features, module.out_features, bias=False)
            plain.weight = torch.nn.Parameter(dequantize_4bit(module.weight.data, module.weight.quant_state))
            model.set_submodule(name, plain)
    model.is_loaded_in_4bit = False
    model.quantization_method = None
    for part in (*model.parameters(), *model.buffers()):
        part.data = part.data.float()
    return model


def _make(folder: Path, base: Path, kind: str) -> None:
    from peft import get_peft_model
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
    from peft.utils import PeftType

    made = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(kind)](task_type="CAUSAL_LM", **_TYPES[kind])
    model = get_peft_model(_unpacked(base), made)
    draw, scale = torch.Generator().manual_seed(1), 1.0 if kind == "UNILORA" else 0.1
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_((torch.randn(parameter.shape, generator=draw) * scale).to(parameter.dtype))
    model.save_pretrained(folder)


@pytest.mark.parametrize("kind", [k if k in _COMMON else pytest.param(k, marks=pytest.mark.slow) for k in sorted(_TYPES)])
def test_an_adapter_answers_as_in_peft_and_leaves_the_base(kind: str, base: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    folder = tmp_path / "adapter"
    _make(folder, base, kind)
    run = _run(tmp_path)
    model = resident(compose(run.store, base, folder), run)
    ids = torch.tensor([ROW])
    with torch.inference_mode():
        with model.use("adapter") as network:
            found = network(input_ids=ids).logits.float()
        with model.use("base") as network:
            bare = network(input_ids=ids).logits.float()
        plain = _unpacked(base)
        wanted = PeftModel.from_pretrained(plain, folder).eval()(input_ids=ids).logits.float()
    moved = (wanted - bare).norm()
    assert moved > 1.0
    assert (found - wanted).norm() < 0.2 * moved
    place = home._HOMES[0]
    home._detach(place)
    assert canary.equal(place.canary, canary.sing(place.model, place.device))
    with torch.inference_mode():
        assert torch.equal(place.model(input_ids=ids).logits.float(), bare)
