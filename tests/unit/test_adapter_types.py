"""Every adapter type peft knows has a law, and what peft itself writes keeps it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from governance.context import RunContext
from governance.evidence import Coverage, Finding
from scanners._formats.adapters.known_bases import _rows, _skeleton
from scanners._formats.adapters.peft_laws import known_types, law_of
from scanners.adapter_config import PLUGIN
from tests.builders_adapters import composition

peft = pytest.importorskip("peft")
torch = pytest.importorskip("torch")

_TARGETS = ["q_proj", "k_proj", "down_proj", "up_proj"]
#: Settings without which a type cannot be built on so small a model.
_NEEDS: Mapping[str, Mapping[str, Any]] = {
    "ADALORA": {"total_step": 10},
    "ADAPTION_PROMPT": {"adapter_len": 5, "adapter_layers": 2, "target_modules": "self_attn"},
    "BEFT": {"target_modules": ["q_proj"]},
    "BOFT": {"boft_block_size": 4},
    "C3A": {"block_size": 4},
    "CARTRIDGE": {"num_virtual_tokens": 5},
    "CPT": {"cpt_token_ids": [1, 2, 3, 4, 5], "cpt_tokens_type_mask": [1, 2, 3, 4, 4]},
    "FOURIERFT": {"n_frequency": 11},
    "GRALORA": {"r": 4},
    "IA3": {"feedforward_modules": ["down_proj"]},
    "LN_TUNING": {"target_modules": ["input_layernorm"]},
    "LOKR": {"r": 2},
    "MULTITASK_PROMPT_TUNING": {"num_virtual_tokens": 5, "num_tasks": 3},
    "OFT": {"oft_block_size": 4, "r": 0},
    "PREFIX_TUNING": {"num_virtual_tokens": 5},
    "PROMPT_TUNING": {"num_virtual_tokens": 5},
    "P_TUNING": {"num_virtual_tokens": 5, "encoder_hidden_size": 7},
    "ROAD": {"group_size": 8},
    "TRAINABLE_TOKENS": {"token_indices": [1, 2, 3], "target_modules": ["embed_tokens"]},
    "VBLORA": {"vector_length": 4, "num_vectors": 9, "topk": 2},
    "WAVEFT": {"n_frequency": 11},
}
_VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "dora": ("LORA", {"use_dora": True}),
    "rslora with patterns": ("LORA", {"use_rslora": True, "rank_pattern": {"q_proj": 5}, "alpha_pattern": {"k_proj": 4}}),
    "trained tokens": ("LORA", {"trainable_token_indices": [1, 2, 3]}),
    "saved embeddings": ("LORA", {"modules_to_save": ["lm_head", "embed_tokens"]}),
    "embeddings adapted": ("LORA", {"target_modules": ["q_proj", "embed_tokens"]}),
    "bias": ("LORA", {"bias": "lora_only"}),
    "one layer": ("LORA", {"layers_to_transform": [1]}),
    "excluded": ("LORA", {"target_modules": "all-linear", "exclude_modules": ["up_proj"]}),
    "lora bias": ("LORA", {"lora_bias": True}),
    "decomposed": ("LOKR", {"decompose_both": True, "decompose_factor": 2}),
    "block sharing": ("BOFT", {"boft_block_size": 4, "boft_n_butterfly_factor": 2}),
    "coft": ("OFT", {"oft_block_size": 4, "r": 0, "block_share": True}),
    "monteclora": ("LOHA", {"rank_pattern": {"q_proj": 5}}),
    "hybrid": ("GRALORA", {"r": 4, "hybrid_r": 2}),
    "no saved projection": ("VERA", {"save_projection": False}),
    "top k alone": ("VBLORA", {"vector_length": 4, "num_vectors": 9, "topk": 2, "save_only_topk_weights": True}),
}


def _model() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=112,
            hidden_size=48,
            intermediate_size=80,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
        )
    )
    model.config.use_cache = False
    return model


def write(kind: str, folder: Path, extra: Mapping[str, Any]) -> dict[str, object]:
    """Return the files peft writes for a fresh adapter of a type."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    config = PEFT_TYPE_TO_CONFIG_MAPPING[kind]
    known = {f.name for f in dataclasses.fields(config)}
    settings = {"r": 3, "target_modules": _TARGETS, "task_type": "CAUSAL_LM", **_NEEDS.get(kind, {}), **extra}
    model = peft.get_peft_model(_model(), config(**{k: v for k, v in settings.items() if k in known}))
    model.save_pretrained(folder)
    files: dict[str, object] = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".safetensors", ".json")}
    said = json.loads((folder / "adapter_config.json").read_text())
    files["adapter_config.json"] = {**said, "base_model_name_or_path": "acme/tiny"}
    shutil.rmtree(folder)
    return files


def scan(files: Mapping[str, object], ctx: RunContext) -> tuple[list[Finding], dict[str, str]]:
    base = {
        "config.json": {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 48, "vocab_size": 112},
    }
    said = list(PLUGIN.scan(composition(files, base, ctx), ctx))
    covered = {c.item: c.outcome.value for c in said if isinstance(c, Coverage)}
    return [f for f in said if isinstance(f, Finding)], covered


def test_every_type_peft_knows_has_a_law() -> None:
    assert {t.value for t in peft.PeftType} == known_types(), "add a row to scanners/_formats/tables/peft_types.yaml"


def test_the_settings_are_those_of_the_installed_peft() -> None:
    from tests.write_peft_types import TABLE, text

    assert TABLE.read_text(encoding="utf-8") == text(), "run python -m tests.write_peft_types"


#: Types people publish; of the others an adapter is written in the slow run only.
_COMMON = {
    "LORA",
    "ADALORA",
    "IA3",
    "LOHA",
    "LOKR",
    "VERA",
    "OFT",
    "PREFIX_TUNING",
    "PROMPT_TUNING",
    "LN_TUNING",
    "TRAINABLE_TOKENS",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "kind",
    [k if k in _COMMON else pytest.param(k, marks=pytest.mark.slow) for k in sorted(known_types() - {"XLORA"})],
)
def test_what_peft_writes_keeps_its_law(kind: str, tmp_path: Path, ctx: RunContext) -> None:
    files = write(kind, tmp_path / "adapter", {})
    found, covered = scan(files, ctx)
    assert [(f.rule, f.message) for f in found if f.severity.rank > 0] == []
    assert covered["adapter_config.json"] == "completed"
    assert covered["adapter_model.safetensors"] == "completed"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", _VARIANTS)
def test_variants_are_quiet(name: str, tmp_path: Path, ctx: RunContext) -> None:
    kind, extra = _VARIANTS[name]
    found, covered = scan(write(kind, tmp_path / "adapter", extra), ctx)
    assert [(f.rule, f.message) for f in found if f.severity.rank > 1] == []
    assert covered["adapter_model.safetensors"] == "completed"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["LOHA", "VERA", "HRA", "DELORA", "RANDLORA", "HIRA", "VBLORA", "TINYLORA"])
def test_another_rank_than_the_configured_one_is_told(kind: str, tmp_path: Path, ctx: RunContext) -> None:
    files = write(kind, tmp_path / "adapter", {})
    said = files["adapter_config.json"]
    assert isinstance(said, dict)
    files["adapter_config.json"] = {**said, str(law.rank if (law := law_of(kind)) else ""): 9}
    found, _ = scan(files, ctx)
    assert "adapter-rank-mismatch" in {f.rule for f in found}


def test_no_two_known_bases_look_alike() -> None:
    folded = [_skeleton(name, keep=True) for name in _rows()]
    assert len(set(folded)) == len(folded)
