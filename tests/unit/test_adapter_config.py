"""Laws under the adapter scanner: patterns, scales, names of bases, and configurations of the wrong types."""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.context import RunContext
from governance.evidence import Coverage, Finding
from scanners._formats.adapters.base_names import kinship, place
from scanners._formats.adapters.peft_laws import known_types
from scanners._formats.adapters.tensors import read_config, sort_tensors
from scanners._formats.patterns import UnreadablePatternError, full_match
from scanners._formats.tensors.safetensors import Tensor
from scanners.adapter_config import PLUGIN
from tests.builders_adapters import composition

NAMES = ["model.layers.3.self_attn.q_proj", "lm_head", "model.layers.12.mlp.down_proj", "transformer.h.0.attn.c_attn", "a", ""]


@settings(database=None, deadline=None)
@given(st.text(alphabet="ab.*+?|()^$\\d[]x", max_size=12), st.text(alphabet="abx1.", max_size=10))
def test_patterns_mean_what_python_means(pattern: str, text: str) -> None:
    try:
        expected = re.fullmatch(pattern, text) is not None
    except re.error:
        return
    except FutureWarning:
        return
    try:
        found = full_match(pattern, text)
    except UnreadablePatternError:
        return
    if "++" not in pattern and "*+" not in pattern and "?+" not in pattern:  # possessive: never gives back, matches less
        assert found == expected


@pytest.mark.parametrize("pattern", ["(.*)*y", "(a|a)*(a|a)*b", "(.*a){1}" * 3, ".*.*.*.*.*.*.*.*x", "((a*)*)*$b"])
def test_no_pattern_stalls(pattern: str) -> None:
    start = time.monotonic()
    with contextlib.suppress(UnreadablePatternError):
        assert not full_match(pattern, "a" * 300)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_target_means_a_whole_name_or_its_end(name: str) -> None:
    config = read_config({"target_modules": ["q_proj", "lm_head"]})
    assert config.targeted(name) == (name.split(".")[-1] in ("q_proj", "lm_head"))


def test_scaling_follows_the_papers() -> None:
    plain = read_config({"r": 16, "lora_alpha": 32.0, "rank_pattern": {"q_proj": 4}, "alpha_pattern": {"^lm_head": 8}})
    assert plain.scaling_of("model.layers.0.self_attn.k_proj") == 2.0
    assert plain.scaling_of("model.layers.0.self_attn.q_proj") == 8.0
    stabilised = read_config({"r": 16, "lora_alpha": 32, "use_rslora": True})
    assert stabilised.scaling_of("x") == pytest.approx(32 / math.sqrt(16))
    assert read_config({"r": 0, "lora_alpha": 8}).scaling_of("x") is None


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("gpt2", "openai-community/gpt2", "same"),
        ("meta-llama/Llama-3.2-1B", "unsloth/llama-3.2-1b-bnb-4bit", "same"),
        ("HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct", "family"),
        ("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-0.5B-Instruct", "family"),
        ("google/gemma-2-9b-it", "google/gemma-3-1b-it", "other"),
        ("meta-llama/Meta-Llama-3-8B", "mistralai/Mistral-7B-v0.1", "other"),
    ],
)
def test_bases_are_compared_by_family(first: str, second: str, expected: str) -> None:
    assert kinship(first, second) == kinship(second, first) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt2", "hub"),
        ("acme/llama-3.2", "hub"),
        ("/content/drive/model", "local"),
        ("C:\\Users\\me\\model", "local"),
        ("./out", "local"),
        ("модель/я", "local"),
        ("https://example.invalid/x", "hostile"),
        ("../../etc", "hostile"),
        ("a\nb", "hostile"),
    ],
)
def test_where_a_name_points(name: str, expected: str) -> None:
    assert place(name) == expected


def test_names_of_tensors_tell_what_they_are() -> None:
    names = (
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "base_model.model.model.embed_tokens.lora_embedding_A",
        "base_model.model.score.modules_to_save.weight",
        "base_model.model.lm_head.weight",
        "lora_unet_down.alpha",
        "payload",
        "x" * 2_000,
    )
    found = sort_tensors(Tensor(name, "F32", (1, 1), 0, 4) for name in names)
    assert set(found.pairs) == {"model.layers.0.self_attn.q_proj", "model.embed_tokens"}
    assert found.pairs["model.layers.0.self_attn.q_proj"].up is not None
    assert set(found.full) == {"score", "lm_head"}
    assert len(found.foreign) == 3
    assert found.kohya


@pytest.mark.parametrize("kind", sorted(known_types() - {"LORA"}))
def test_every_other_type_is_named_and_not_passed_over(kind: str, ctx: RunContext) -> None:
    said = scan({"adapter_config.json": {"peft_type": kind, "base_model_name_or_path": "acme/base"}}, ctx)
    assert [f.rule for f in said if isinstance(f, Finding)] == ["adapter-dialect"]
    assert any(not c.outcome.checked for c in said if isinstance(c, Coverage))


WRONG = [None, True, -1, 0, 1.5, "x", [], [1], {}, {"a": "b"}, "[", 10**400]


@pytest.mark.parametrize(
    "key", ["r", "lora_alpha", "target_modules", "rank_pattern", "alpha_pattern", "modules_to_save", "bias", "task_type"]
)
@pytest.mark.parametrize("value", WRONG, ids=[repr(v)[:12] for v in WRONG])
def test_no_configuration_makes_it_crash(key: str, value: object, ctx: RunContext) -> None:
    tensors = {"base_model.model.l.0.q.lora_A.weight": ["F32", 2, 4], "base_model.model.l.0.q.lora_B.weight": ["F32", 4, 2]}
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": "acme/base",
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["q"],
        key: value,
    }
    files = {"adapter_config.json": config, "adapter_model.safetensors": {"tensors": tensors}}
    assert scan(files, ctx)


def scan(files: dict[str, object], ctx: RunContext) -> list[object]:
    return list(PLUGIN.scan(composition(files, None, ctx), ctx))


def test_real_adapters_are_read_without_alarm(shared: Path, ctx: RunContext) -> None:
    """Honest oddities stay quiet: nothing above ``low`` in any folder that holds an adapter."""
    folders = sorted({p.parent for p in (shared / "data/adapters").rglob("adapter_config.json")})
    assert folders
    loud = []
    for folder in folders:
        files = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.suffix in (".json", ".md", ".safetensors")}
        for said in scan(files, ctx):
            if isinstance(said, Finding) and said.severity.rank > 1:
                loud.append((folder.name, said.rule, said.message))
    assert loud == []


def test_the_shared_configuration_of_a_message_names_both_shapes(ctx: RunContext) -> None:
    tensors = {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": ["F32", 2, 576]}
    base = {"config.json": {"hidden_size": 896, "num_hidden_layers": 24}}
    files = {
        "adapter_config.json": json.dumps({"peft_type": "LORA", "base_model_name_or_path": "a/b", "r": 2, "lora_alpha": 2}),
        "adapter_model.safetensors": {"tensors": tensors},
    }
    found = [f for f in PLUGIN.scan(composition(files, base, ctx), ctx) if isinstance(f, Finding) and f.rule == "base-mismatch"]
    assert len(found) == 1
    assert "576" in found[0].message
    assert "896" in found[0].message
    assert "config.json" in found[0].message
