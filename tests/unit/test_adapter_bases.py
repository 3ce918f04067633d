"""Names that only look like well-known ones, shapes of well-known bases, and weights that are pickles."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest

from governance.context import RunContext
from governance.evidence import Coverage, Finding
from scanners._formats.adapters.base_names import cached_revision, core
from scanners._formats.adapters.known_bases import Seen, contradicts, fitting, known, lookalike
from scanners._formats.tables import table
from scanners.adapter_config import PLUGIN
from tests.builders_adapters import composition

CARD = "---\nbase_model: acme/tiny\n---\n"
CONFIG = {"peft_type": "LORA", "base_model_name_or_path": "acme/tiny", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
COMPARED = "comparison of adapter_model.bin"
NAME = "base_model.model.model.layers.{}.self_attn.{}.lora_{}.weight"


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("meta-Ilama/Llama-3.2-1B", "meta-llama"),
        ("meta-1lama/anything", "meta-llama"),
        ("m\u0435ta-llama/Llama-3.2-1B", "meta-llama"),
        ("mistralai-/Mistral-7B-v0.1", "mistralai"),
        ("mistrallai/Mistral-7B-v0.1", "mistralai"),
        ("Qwen_/Qwen2.5-7B", "Qwen"),
        ("rnicrosoft/phi-2", "microsoft"),
        ("meta_llama/Llama-2-7b-hf", "meta-llama"),
        ("meta/llama-Llama-3.2-1B", "meta-llama/llama-3.2-1b"),
        ("acme/LIama-3.2-1B", "llama-3.2-1b"),
        ("TheBIoke/Llama-2-7B-GPTQ", "TheBloke"),
    ],
)
def test_squatted_names_are_seen(name: str, good: str) -> None:
    assert lookalike(name) == good


@pytest.mark.parametrize(
    "name",
    [
        "meta-llama/Llama-3.2-1B", "qwen/qwen2.5-7b", "acme/Llama-3.2-1B", "acme/qwen2_5-7b", "unsloth/gemma-2-9b-it-bnb-4bit",
        "TheBloke/Mistral-7B-Instruct-v0.2-GPTQ", "mlx-community/Llama-3.2-1B-Instruct-4bit", "gpt2", "apples/pie", "googly/eyes",
        "NousResearch/Llama-2-7b-hf", "elyza/ELYZA-japanese-Llama-2-7b-instruct", "Vikhrmodels/QVikhr-3-1.7B", "nvidia/Cosmos-2B",
        "QwenLM-fans/my-model", "facebook-tools/x",
    ],
)  # fmt: skip
def test_honest_names_are_no_lookalikes(name: str) -> None:
    assert lookalike(name) is None


def test_the_published_names_are_none_of_each_other() -> None:
    owners = [o for group in table("known_owners").values() for o in group]
    assert [o for o in owners if lookalike(f"{o}/model")] == []
    assert [f"{o}/{b}" for o, bases in table("known_bases").items() for b in bases if lookalike(f"{o}/{b}")] == []
    assert set(table("known_bases")) <= set(owners)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("unsloth/meta-llama-3.1-8b-unsloth-bnb-4bit", "llama-3.1-8b"),
        ("TheBloke/Llama-2-7B-Chat-GPTQ", "llama-2-7b"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "tinyllama-1.1b"),
        ("Qwen/Qwen3-4B-Instruct-2507", "qwen3-4b"),
        ("google/gemma-2-9b-it", "gemma-2-9b"),
        ("acme/Llama-3-8B-Lora-Merged", None),
        ("x" * 5_000, None),
    ],
)
def test_a_name_means_a_base_beyond_doubt_or_none(name: str, row: str | None) -> None:
    found = known(name)
    assert (found.name if found else None) == row


def test_shapes_tell_bases_apart() -> None:
    llama = known("meta-llama/Llama-3.2-1B")
    assert llama
    assert contradicts(llama, [Seen("q_proj", 2048, 2048), Seen("k_proj", 2048, 512)], 16) == []
    assert contradicts(llama, [Seen("q_proj", 2048, 2048)], 17)
    assert contradicts(llama, [Seen("anything", 7, 7)], 3) == []
    assert fitting([Seen("q_proj", 576, 576), Seen("down_proj", 1536, 576)], 30) == ["smollm-135m", "smollm2-135m"]


def test_a_cache_tells_repository_and_commit() -> None:
    path = r"C:\Users\me\.cache\huggingface\hub\models--acme--big-model\snapshots\0123456789abcdef0123456789abcdef01234567"
    assert cached_revision(path) == ("acme/big-model", "0123456789abcdef0123456789abcdef01234567")
    assert cached_revision("acme/model") is None
    assert core("acme/Model-v0.1-hf") == "model"


def scan(files: Mapping[str, object], ctx: RunContext) -> tuple[list[Finding], dict[str, str]]:
    said = list(PLUGIN.scan(composition(files, None, ctx), ctx))
    return [s for s in said if isinstance(s, Finding)], {s.item: s.outcome.value for s in said if isinstance(s, Coverage)}


@pytest.mark.parametrize("legacy", [False, True])
def test_weights_in_a_pickle_are_compared_without_being_loaded(legacy: bool, ctx: RunContext) -> None:
    torch = pytest.importorskip("torch")
    out = io.BytesIO()
    state = {NAME.format(0, "q_proj", "A"): torch.zeros(2, 8), NAME.format(0, "q_proj", "B"): torch.zeros(8, 2)}
    torch.save(state, out, _use_new_zipfile_serialization=not legacy)
    files = {"README.md": CARD, "adapter_config.json": CONFIG, "adapter_model.bin": out.getvalue()}
    found, covered = scan(files, ctx)
    assert found == []
    assert covered["adapter_model.bin"] == "completed"
    found, _ = scan({**files, "adapter_config.json": {**CONFIG, "r": 4}}, ctx)
    assert [f.rule for f in found] == ["adapter-rank-mismatch"]
    found, covered = scan({**files, "adapter_model.bin": out.getvalue()[:200]}, ctx)
    assert covered[COMPARED] == "skipped"


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x02.", b"cos\nsystem\n(S'CANARY'\ntR.", b"\x80\x04]q\x00h\x05.", b"PK\x03\x04", b"\x00" * 64]
)
def test_what_is_no_state_dict_is_not_read(data: bytes, ctx: RunContext) -> None:
    found, covered = scan({"README.md": CARD, "adapter_config.json": CONFIG, "adapter_model.bin": data}, ctx)
    item = COMPARED if COMPARED in covered else "adapter_model.bin"  # pickle-imports answers for what is a pickle
    assert covered[item] == "skipped"
    assert found == []


def test_a_layer_without_one_of_its_updates_is_told(ctx: RunContext) -> None:
    tensors = {
        NAME.format(layer, kind, half): ["F32", 2, 8] if half == "A" else ["F32", 8, 2]
        for layer in range(8) for kind in ("q_proj", "v_proj") for half in "AB" if (layer, kind) != (5, "v_proj")
    }  # fmt: skip
    files = {
        "README.md": CARD, "adapter_config.json": {**CONFIG, "target_modules": ["q_proj", "v_proj"]},
        "adapter_model.safetensors": {"tensors": tensors},
    }  # fmt: skip
    found, _ = scan(files, ctx)
    assert [(f.rule, f.severity.value) for f in found] == [("adapter-targets-mismatch", "medium")]
    assert "layer 5" in found[0].message


@pytest.mark.parametrize(
    "name", ["adapter_config.json", "a folder/adapter_config.json", "b\\c/adapter_config.json", "модель/adapter_config.json"]
)
@pytest.mark.parametrize("content", ["[]", "{", '"x"', "null", b"\xff\xfe", "version https://git-lfs.github.com/spec/v1\nsize 1\n"])
def test_configurations_that_are_none_are_not_scanned(name: str, content: object, ctx: RunContext) -> None:
    _, covered = scan({name: content, "config.json": "<html>"}, ctx)
    assert covered[name] == "skipped"


def test_several_files_say_the_least_of_the_base(ctx: RunContext) -> None:
    good = {NAME.format(0, "q_proj", "A"): ["F32", 2, 16], NAME.format(0, "q_proj", "B"): ["F32", 16, 2]}
    files = {"README.md": CARD, "adapter_config.json": CONFIG, "adapter_model.safetensors": {"tensors": good}}
    files |= {"b/adapter_config.json": {**CONFIG, "use_qalora": True}, "b/adapter_model.safetensors": {"tensors": good}}
    base = {"config.json": {"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 16}}
    said = [s for s in PLUGIN.scan(composition(files, base, ctx), ctx) if isinstance(s, Coverage) and s.item == "base"]
    assert [c.outcome.value for c in said] == ["skipped"]
