"""An adapter as data: its configuration checked, its tensors read, before PEFT sees either.

Read by ``evaluators._model.resident``. An adapter configuration can name modules to import, base weights to change and
files to load; only what is listed here reaches the library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import JsonValue

from governance.context import RunContext
from governance.errors import LimitError, PrerequisiteError, SubjectError
from governance.subject import Composition

if TYPE_CHECKING:
    import torch

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

#: Handed to the library.
_MEASURED = (
    "r", "lora_alpha", "target_modules", "exclude_modules", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern",
    "layers_to_transform", "layers_pattern", "fan_in_fan_out", "lora_bias",
)  # fmt: skip
#: Without influence on a forward pass of finished weights.
_HARMLESS = frozenset({
    "peft_type", "peft_version", "task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping",
    "lora_dropout", "megatron_core", "loftq_config", "corda_config", "eva_config", "lora_ga_config", "init_lora_weights",
    "qalora_group_size", "runtime_config", "ensure_weight_tying", "unsloth_fixed",
})  # fmt: skip
#: Starting points that leave the base's weights as they are; others subtract from them.
_INITIAL = (None, True, False, "gaussian", "orthogonal", "eva")


def configuration(composition: Composition, ctx: RunContext) -> dict[str, JsonValue]:
    """Return the fields of the adapter's configuration that shape its forward pass.

    Args:
        composition: Holds the adapter.
        ctx: Gives the store and the ceilings.

    Raises:
        SubjectError: It is missing, unreadable, or asks for something that cannot be held against its base exactly.
    """
    raw = _document(composition, ctx)
    kind = str(raw.get("peft_type", "")).upper()
    if kind != "LORA":
        raise SubjectError(f"the adapter is of type {kind or 'unknown'}, not LoRA", hint="only LoRA adapters are measured")
    if str(raw.get("bias", "none")) != "none":
        raise SubjectError(
            f"the adapter trains biases (bias = {raw['bias']!r}); its base cannot be had back by disabling it",
            hint="merge the adapter and compare two full models, or train with bias = none",
        )
    if raw.get("init_lora_weights") not in _INITIAL:
        raise SubjectError(
            f"init_lora_weights = {raw['init_lora_weights']!r} changes the base's own weights when the adapter is loaded",
            hint="convert the adapter to a plain LoRA first (PEFT: path_initial_model_for_weight_conversion)",
        )
    unknown = sorted(k for k, v in raw.items() if v and k not in _MEASURED and k not in _HARMLESS and k != "bias")
    if unknown:
        raise SubjectError(
            f"the adapter uses {', '.join(unknown)}; disabling such an adapter does not give its base back exactly",
            hint="merge the adapter and compare two full models",
        )
    return {k: raw[k] for k in _MEASURED if raw.get(k) is not None}


def tensors(composition: Composition, ctx: RunContext) -> Mapping[str, torch.Tensor]:
    """Return the adapter's tensors by name, from safetensors only.

    Raises:
        PrerequisiteError: The adapter ships its weights in another format.
        SubjectError: The file cannot be read, or holds values that are no numbers.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    entry = composition.adapter.file(WEIGHTS)
    if entry is None or not entry.present:
        raise PrerequisiteError(
            f"the adapter holds no {WEIGHTS}; weights in other formats are never loaded",
            hint="ask its publisher for safetensors, or convert it in a sandbox",
        )
    try:
        found: dict[str, torch.Tensor] = load_file(ctx.store.path(composition.adapter, WEIGHTS))
    except (SafetensorError, OSError, ValueError) as error:
        raise SubjectError(f"{WEIGHTS} cannot be read: {error}", hint="fetch it again, and compare its digest") from error
    if not found:
        raise SubjectError(f"{WEIGHTS} holds no tensor")
    foreign = sorted(name for name in found if "lora_" not in name)
    if foreign:
        raise SubjectError(
            f"{WEIGHTS} carries {len(foreign)} tensors that are no LoRA matrices, the first is {foreign[0]!r}; they replace the "
            "base's own weights, so disabling the adapter does not give the base back",
            hint="merge the adapter and compare two full models",
        )
    broken = [name for name, tensor in found.items() if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())]
    if broken:
        raise SubjectError(
            f"{len(broken)} of {len(found)} tensors hold infinite values or none at all (NaN), the first is {broken[0]!r}",
            hint="the training run diverged, or the file is damaged; it cannot be measured",
        )
    return found


def _document(composition: Composition, ctx: RunContext) -> dict[str, JsonValue]:
    entry = composition.adapter.file(CONFIG)
    if entry is None or not entry.present:
        raise SubjectError(f"the adapter holds no {CONFIG}", hint="only adapters in PEFT's layout are measured")
    if entry.size > ctx.limits.document_bytes:
        raise LimitError(f"{CONFIG} is larger than allowed", limit=ctx.limits.document_bytes, actual=entry.size)
    try:
        raw: JsonValue = json.loads(ctx.store.path(composition.adapter, CONFIG).read_bytes())
    except (ValueError, RecursionError) as error:
        raise SubjectError(f"{CONFIG} is no JSON: {error}") from error
    if not isinstance(raw, dict):
        raise SubjectError(f"{CONFIG} is no JSON object")
    return raw
