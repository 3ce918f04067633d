"""A language model of a few hundred kilobytes and adapters for it, made from nothing in seconds.

Two layers of random weights and a tokenizer trained on the shipped passages: enough for every code path of the runtime,
useless for anything else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from governance.store import Store
from governance.subject import Composition, Description, FileEntry, SourceKind, Subject

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ROOT / "evaluators" / "tasks" / "general-text.jsonl"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_HIDDEN, _LAYERS = 64, 2
_WIDTHS = {"q_proj": 64, "k_proj": 32, "v_proj": 32, "o_proj": 64}


def make_base(folder: Path, seed: int = 0, *, width: int = _HIDDEN) -> Path:
    """Write a two-layer Llama with its tokenizer; the same seed gives the same bytes.

    Args:
        folder: Made if it is not there.
        seed: Of the weights.
        width: Of the residual stream; adapters of this module fit the default.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=128, num_hidden_layers=_LAYERS, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.3, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_adapter(
    folder: Path,
    *,
    scale: float = 0.05,
    seed: int = 1,
    rank: int = 4,
    modules: tuple[str, ...] = ("q_proj", "v_proj"),
    config: Mapping[str, object] | None = None,
    change: Callable[[dict[str, Any]], None] = lambda tensors: None,
) -> Path:
    """Write a LoRA adapter of random matrices.

    Args:
        folder: Made if it is not there.
        scale: Standard deviation of the second matrices; 0 gives an adapter that does nothing.
        seed: Of the matrices.
        rank: Of the update.
        modules: What it changes, in every layer.
        config: Entries to set in ``adapter_config.json``.
        change: Called with the tensors before they are written.
    """
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    draw = torch.Generator().manual_seed(seed)
    tensors: dict[str, Any] = {}
    for layer in range(_LAYERS):
        for module in modules:
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            tensors[f"{name}.lora_A.weight"] = torch.randn(rank, _HIDDEN, generator=draw) * 0.2
            tensors[f"{name}.lora_B.weight"] = torch.randn(_WIDTHS[module], rank, generator=draw) * scale
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")
    content = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "tiny", "r": rank, "lora_alpha": 2 * rank,
        "lora_dropout": 0.0, "bias": "none", "target_modules": list(modules), "inference_mode": True, "modules_to_save": None,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(content | dict(config or {})))
    return folder


def take(store: Store, folder: Path) -> Subject:
    """Bring a folder into the store as a pinned subject."""
    files = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as stream:
            sha256, sha512, size = store.take(stream, limit=1 << 32)
        files.append(FileEntry(path=path.relative_to(folder).as_posix(), size=size, sha256=sha256, sha512=sha512))
    subject = Subject(source=SourceKind.LOCAL, name=folder.name, files=tuple(files))
    store.materialize(subject)
    return subject


def compose(store: Store, base: Path, adapter: Path, **said: Any) -> Composition:
    """Return base and adapter as acquisition would; ``said`` is what the card says."""
    whole = take(store, base)
    names = tuple(f.path for f in whole.files if f.path.startswith("tokenizer"))
    template = base / "chat_template.jinja"
    digest = hashlib.sha256(template.read_bytes()).hexdigest() if template.is_file() else None
    return Composition(
        adapter=take(store, adapter),
        base=whole,
        description=Description(kind="adapter", peft_type="LORA", **said),
        base_description=Description(kind="model", tokenizer_files=names, chat_template=digest),
    )


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    raw.train_from_iterator([json.loads(line)["text"] for line in TEXTS.read_text().splitlines()], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>", unk_token="<|endoftext|>"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
