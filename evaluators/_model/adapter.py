"""An adapter as data: its configuration checked, its tensors read, before PEFT sees either.

Read by ``evaluators._model.home``. An adapter configuration can name modules to import, base weights to change and
files to load; only what ``evaluators._model.kinds`` lists reaches the library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from evaluators._model.kinds import HARMLESS, INITIAL, INITIAL_MISS, KINDS, MERGE, SHAPING
from governance.context import RunContext
from governance.errors import LimitError, PrerequisiteError, SubjectError
from governance.subject import Composition

if TYPE_CHECKING:
    import torch

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
#: Longest name or pattern; PEFT matches some of them as regular expressions against every module.
_LONGEST = 4096


@dataclass(frozen=True)
class Configuration:
    """What of an adapter's configuration shapes its forward pass.

    Attributes:
        kind: ``peft_type``, one of ``kinds.KINDS``.
        fields: By name, as the file gives them.
    """

    kind: str
    fields: Mapping[str, JsonValue]


def configuration(composition: Composition, ctx: RunContext) -> Configuration:
    """Return the fields of the adapter's configuration that shape its forward pass.

    Args:
        composition: Holds the adapter.
        ctx: Gives the store and the ceilings.

    Raises:
        SubjectError: It is missing, unreadable, or asks for something that cannot be held against its base exactly.
    """
    raw = _document(composition, ctx)
    name = str(raw.get("peft_type", "")).upper()[:60]
    kind = KINDS.get(name)
    if kind is None:
        raise SubjectError(
            f"the adapter is of type {name or 'unknown'}, which this version does not know", hint="name its type in peft_type"
        )
    if kind.refusal:
        raise SubjectError(f"the adapter is of type {name}: {kind.refusal}", hint=kind.hint)
    start = raw.get("init_lora_weights")
    if not any(start is s for s in INITIAL[:3]) and start not in INITIAL[3:]:
        raise SubjectError(
            f"init_lora_weights = {start!r} changes the base's own weights when the adapter is loaded",
            hint="convert the adapter to a plain LoRA first (PEFT: path_initial_model_for_weight_conversion)",
        )
    if raw.get("sample_at_inference"):
        raise SubjectError("the adapter draws random numbers for every answer (sample_at_inference)", hint="train it without")
    unknown = sorted(k for k, v in raw.items() if v and k not in SHAPING and k not in HARMLESS)
    if unknown:
        raise SubjectError(f"the adapter uses {', '.join(unknown)[:200]}, which is not measured", hint=MERGE)
    fields: dict[str, JsonValue] = {k: v for k, v in raw.items() if k in SHAPING and v is not None}
    if name == "MISS" and raw.get("init_weights") in INITIAL_MISS:
        fields["init_weights"] = raw["init_weights"]
    for field, value in fields.items():
        if not _flat(value):
            raise SubjectError(f"{field} in {CONFIG} is nested deeper, or longer, than any adapter needs")
    return Configuration(name, fields)


def _flat(value: JsonValue, depth: int = 0) -> bool:
    """Return whether a value is a scalar, or lists and tables of scalars at most two deep, with names of sane length."""
    if isinstance(value, str):
        return len(value) <= _LONGEST
    if isinstance(value, dict):
        return depth < 2 and all(len(k) <= _LONGEST and _flat(v, depth + 1) for k, v in value.items())
    if isinstance(value, list):
        return depth < 2 and all(_flat(v, depth + 1) for v in value)
    return True


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
