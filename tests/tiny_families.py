"""Tiny random models of many architectures in float32, from configurations alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WIDTH, LAYERS, POSITIONS = 32, 2, 256
_PLAIN: dict[str, Any] = {
    "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "intermediate_size": 48, "max_position_embeddings": POSITIONS, "initializer_range": 0.3,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
}  # fmt: skip
_GPT2 = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "n_positions": POSITIONS, "initializer_range": 0.3}
#: Name of the class of its configuration, and what is set in it.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", _PLAIN),
    "mistral-window": ("MistralConfig", {**_PLAIN, "sliding_window": 16}),
    "qwen2": ("Qwen2Config", _PLAIN),
    "qwen3": ("Qwen3Config", _PLAIN),
    "gemma2": ("Gemma2Config", {**_PLAIN, "sliding_window": 16, "query_pre_attn_scalar": 8}),
    "gemma3": ("Gemma3TextConfig", {**_PLAIN, "sliding_window": 16, "query_pre_attn_scalar": 8,
                                    "layer_types": ["sliding_attention", "full_attention"]}),
    "phi": ("PhiConfig", {k: v for k, v in _PLAIN.items() if k != "head_dim"}),
    "gpt2": ("GPT2Config", {**_GPT2, "bos_token_id": 1, "eos_token_id": 2}),
    "gpt-neox": ("GPTNeoXConfig", {k: v for k, v in _PLAIN.items() if k not in ("head_dim", "num_key_value_heads")}),
    "opt": ("OPTConfig", {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "ffn_dim": 48,
                          "word_embed_proj_dim": WIDTH, "max_position_embeddings": POSITIONS, "init_std": 0.3,
                          "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}),
    "mixtral": ("MixtralConfig", {**_PLAIN, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}),
    "bloom": ("BloomConfig", {"hidden_size": WIDTH, "n_layer": LAYERS, "n_head": 4, "initializer_range": 0.3,
                              "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}),
    "mamba": ("MambaConfig", {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "state_size": 4, "initializer_range": 0.3,
                              "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}),
    "recurrent-gemma": ("RecurrentGemmaConfig", {**{k: v for k, v in _PLAIN.items() if k not in ("initializer_range", "head_dim")},
                                                 "lru_width": WIDTH, "attention_window_size": 16, "num_hidden_layers": 3,
                                                 "w_init_variance_scale": 1.0}),
}  # fmt: skip


def make(family: str, vocabulary: int, seed: int = 0, change: Callable[[Any], None] = lambda config: None) -> PreTrainedModel:
    """Return a model of a family; the same seed gives the same weights.

    Args:
        family: One of ``FAMILIES``.
        vocabulary: Tokens it knows.
        seed: Of the weights.
        change: Called with the configuration first.
    """
    import torch
    import transformers

    kind, said = FAMILIES[family]
    config = getattr(transformers, kind)(vocab_size=vocabulary, **said)
    change(config)
    torch.manual_seed(seed)
    model: PreTrainedModel = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        # What starts as nothing hides a wrong position or mask.
        for name, weight in model.named_parameters():
            if "pos" in name or "wpe" in name:
                weight.normal_(0, 0.5)
    return model.float().eval().requires_grad_(False)
