"""Where the one model of this process lives: loads a base once, and swaps what is held against it. Used by the evaluators.

    with the context of a job:  model = resident(composition, ctx)

Expected trouble is a ``SubjectError`` (this composition cannot be measured) or a ``PrerequisiteError`` (something is
missing); a base that an adapter has changed is a ``PluginError``.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluators._model import adapter, attaching, canary, device, loading
from evaluators._model.graft import Alone, Pair
from evaluators._model.resident import Resident
from governance.context import Progress, RunContext
from governance.errors import PluginError
from governance.subject import Composition, canonical_digest

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

#: No prompt is cut: what does not fit is refused by its user.
_MOST_TOKENS = 8192


@dataclass
class _Home:
    """What stays between jobs."""

    base: str
    model: PreTrainedModel
    device: device.Device
    canary: list[torch.Tensor]
    adapter: str = ""
    pair: Pair | None = None
    resident: Resident | None = None


_HOMES: list[_Home] = []


def resident(composition: Composition, ctx: RunContext) -> Resident:
    """Return the model of this process with the composition's adapter on it; loads and swaps only what differs.

    Args:
        composition: Base and adapter.
        ctx: Gives the store, the device that was asked for, and the way out for progress.

    Raises:
        PrerequisiteError: A library, a device, a base, or weights in a safe format are missing.
        SubjectError: Base and adapter cannot be measured together.
        PluginError: The base no longer answers as it did when it was loaded.
    """
    chosen = device.choose(ctx.evaluation.device)
    folder = loading.base_folder(composition, ctx)
    key = canonical_digest([composition.base.digest if composition.base else "", chosen.kernel_path])
    if _HOMES and _HOMES[0].base == key and _HOMES[0].adapter == composition.digest and _HOMES[0].resident is not None:
        return _HOMES[0].resident
    parts = adapter.configuration(composition, ctx), adapter.tensors(composition, ctx)
    if not _HOMES or _HOMES[0].base != key:
        leave()
        ctx.emit(Progress(step="evaluate", item="load", message=f"loading {composition.base} in 4 bits"))
        model = loading.load_base(folder, chosen)
        _HOMES.append(_Home(key, model, chosen, canary.sing(model, chosen)))
    home = _HOMES[0]
    _detach(home)
    fresh = _fresh(home, composition, ctx)
    ctx.emit(Progress(step="evaluate", item="load", message=f"attaching {composition.adapter}"))
    home.pair = fresh._pair = attaching.attach(home.model, *parts)
    home.adapter, home.resident = composition.digest, fresh
    _assert_unchanged(home)
    return fresh


def leave() -> None:
    """Give up the model and its memory."""
    _HOMES.clear()
    gc.collect()


def _fresh(home: _Home, composition: Composition, ctx: RunContext) -> Resident:
    model, versions = home.model, device.versions()
    tokenizer = loading.load_tokenizer(composition, ctx, model)
    path = f"{home.device.kernel_path}; {loading.share(model):.1%} of parameters in 4 bits"
    shared = [home.base, path, composition.tokenizer_digest, composition.template_digest, str(composition.quantization), versions]
    ends = model.generation_config.eos_token_id if model.generation_config is not None else None
    ids = ends if isinstance(ends, list) else [ends]
    longest = getattr(model.config, "max_position_embeddings", None)
    return Resident(
        tokenizer=tokenizer,
        device=home.device,
        kernel_path=path,
        versions=versions,
        max_length=min(longest, _MOST_TOKENS) if isinstance(longest, int) else _MOST_TOKENS,
        eos=frozenset(i for i in (*ids, tokenizer.eos_token_id) if isinstance(i, int)),
        _pair=Alone(model),
        _keys={"base": canonical_digest([*shared, "base"]), "adapter": canonical_digest([*shared, composition.adapter.digest])},
    )


def _detach(home: _Home) -> None:
    """Take the last adapter off and make sure that it left nothing behind."""
    pair, home.pair, home.resident, home.adapter = home.pair, None, None, ""
    if pair is not None:
        pair.detach()
        _assert_unchanged(home)


def _assert_unchanged(home: _Home) -> None:
    """Drop everything and raise if the base's answers are not bit for bit what they were."""
    pair = home.pair or Alone(home.model)
    with pair.use("base") as bare:
        same = canary.equal(home.canary, canary.sing(bare, home.device))
    if not same:
        leave()
        raise PluginError(
            "the base no longer answers as it did when it was loaded: an adapter changed it, so nothing can be compared",
            hint="audit again; if it comes back, report the versions of torch, peft and bitsandbytes",
        )
