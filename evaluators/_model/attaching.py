"""Lays an adapter on a base so that the base can be had back exactly. Used by ``evaluators._model.home``.

What an adapter would write into the base is copied first, and what cannot read packed weights gets the same values unpacked;
both are seen only while the adapter is in place.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evaluators._model.adapter import Configuration
from evaluators._model.graft import Graft, Tree
from evaluators._model.kinds import KINDS, MERGE
from governance.errors import SubjectError

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from transformers import PreTrainedModel

#: What the libraries raise for an adapter they cannot make sense of.
TROUBLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, AssertionError, ArithmeticError, ImportError)
_LIMIT = 400
_PREFIX = "base_model.model."
#: Between the name of a base's module and the name of its parameter.
_BELOW = ".base_layer."
#: What PEFT computes from the configuration and never saves: AdaLoRA's rank.
_DERIVED = ".ranknum.default"


def attach(model: PreTrainedModel, configuration: Configuration, tensors: Mapping[str, torch.Tensor]) -> Graft:
    """Return base and adapter; the base's own weights stay as they are.

    Args:
        model: From ``loading.load_base``; its module tree is rearranged in place.
        configuration: From ``adapter.configuration``.
        tensors: From ``adapter.tensors``.

    Raises:
        SubjectError: The adapter does not fit the base, or would change it.
    """
    bare, attributes = Tree(model), frozenset(model.__dict__)
    versions = {p: p._version for p in model.parameters()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            own = _lay(model, configuration, tensors)
        changed = [name for name, p in own.items() if p in versions and p._version != versions[p]]
        if changed:
            raise SubjectError(f"the adapter writes into the base's own weights, the first is {changed[0]!r}", hint=MERGE)
    except SubjectError:
        Graft(model, bare, attributes).detach()
        raise
    except TROUBLE as error:
        Graft(model, bare, attributes).detach()
        reason = " ".join(str(error).split())[:_LIMIT] or type(error).__name__
        raise SubjectError(f"the adapter does not fit this base: {reason}", hint="check which base it was made for") from error
    return Graft(model, bare, attributes)


def _lay(
    model: PreTrainedModel, configuration: Configuration, tensors: Mapping[str, torch.Tensor]
) -> dict[str, torch.nn.Parameter]:
    """Attach, and return the base's parameters by name."""
    from peft import get_peft_model, set_peft_model_state_dict
    from peft.tuners.tuners_utils import BaseTunerLayer

    config = _made(configuration)
    own = dict(model.named_parameters(remove_duplicate=False))
    kept: set[int] = {id(p) for p in own.values()}
    if KINDS[configuration.kind].dense:
        kept |= _unpack(model, config, tensors)
    kept |= _copy(model, own, tensors, str(configuration.fields.get("bias", "none")))
    peft = get_peft_model(model, config)
    result = set_peft_model_state_dict(peft, dict(tensors))
    held = {**dict(peft.named_parameters(remove_duplicate=False)), **dict(peft.named_buffers(remove_duplicate=False))}
    buffers = {id(b) for b in model.buffers()} - {
        id(b) for m in peft.modules() if isinstance(m, BaseTunerLayer) for b in m.buffers()
    }
    absent = [k for k in result.missing_keys if k in held and not k.endswith(_DERIVED)]
    filled = {id(tensor) for name, tensor in held.items() if name not in result.missing_keys}
    missing = sorted(k for k in absent if id(held[k]) not in kept | buffers | filled)
    unexpected = sorted(result.unexpected_keys)
    if unexpected or missing:
        which, keys = ("fit no module of", unexpected) if unexpected else ("are missing for", missing)
        raise SubjectError(
            f"the adapter does not fit this base: {len(keys)} tensors {which} it, the first is {keys[0]!r}",
            hint="check which base it was made for",
        )
    if configuration.kind != "LORA":
        for module in peft.modules():
            if isinstance(module, BaseTunerLayer):
                module.register_forward_hook(_as_given)
    peft.eval().requires_grad_(False)
    return own


def _made(configuration: Configuration) -> PeftConfig:
    """Return PEFT's own configuration; nothing in it is read from a file or a Hub."""
    from dataclasses import fields

    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
    from peft.utils import PeftType

    made = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(configuration.kind)]
    known = {f.name for f in fields(made)}
    given: dict[str, Any] = {k: v for k, v in configuration.fields.items() if k in known}
    if "progressbar" in known:
        given["progressbar"] = False
    config: PeftConfig = made(**given, inference_mode=True)
    return config


def _unpack(model: PreTrainedModel, config: PeftConfig, tensors: Mapping[str, torch.Tensor]) -> set[int]:
    """Put plain layers with the same values in the place of the four-bit ones an adapter changes; return their weights' ids."""
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit
    from peft.tuners.tuners_utils import check_target_module_exists

    touched = {name.removeprefix(_PREFIX) for name in tensors}
    made: set[int] = set()
    for name, module in list(model.named_modules()):
        if not isinstance(module, Linear4bit):
            continue
        if not (any(t.startswith(f"{name}.") for t in touched) or check_target_module_exists(config, name)):
            continue
        values = dequantize_4bit(module.weight.data, module.weight.quant_state).to(module.compute_dtype or torch.float32)
        plain = torch.nn.Linear(module.in_features, module.out_features, bias=False, device="meta")
        plain.weight = torch.nn.Parameter(values, requires_grad=False)
        plain.bias = module.bias
        plain.register_forward_pre_hook(_narrowed)  # as four-bit layers do with what some adapters widen
        parent, _, last = name.rpartition(".")
        model.get_submodule(parent)._modules[last] = plain.eval()
        made.add(id(plain.weight))
    return made


def _copy(
    model: PreTrainedModel, own: Mapping[str, torch.nn.Parameter], tensors: Mapping[str, torch.Tensor], bias: str
) -> set[int]:
    """Put copies in the place of the parameters the adapter's file would overwrite; return the ids of the copies.

    Raises:
        SubjectError: It would overwrite one with another shape.
    """
    import torch

    named = {name.removeprefix(_PREFIX).replace(_BELOW, "."): t for name, t in tensors.items()}
    written = {id(p): p for name, p in own.items() if name in named or (bias != "none" and name.endswith(".bias"))}
    for name, p in own.items():
        if name in named and named[name].shape != p.shape:
            raise SubjectError(
                f"the adapter's file replaces {name!r} of shape {list(p.shape)} by one of shape {list(named[name].shape)}",
                hint="adapters with resized embeddings are not measured; merge the adapter and audit the full model",
            )
    copies = {key: torch.nn.Parameter(p.detach().clone(), requires_grad=False) for key, p in written.items()}
    for module in model.modules():
        for name, p in module._parameters.items():
            if p is not None and id(p) in copies:
                module._parameters[name] = copies[id(p)]
    return {id(p) for p in copies.values()}


def _as_given(module: torch.nn.Module, args: tuple[Any, ...], out: Any) -> Any:
    """Return a layer's output in the number format of its input, which some adapters widen."""
    import torch

    if not args or not isinstance(args[0], torch.Tensor) or not isinstance(out, torch.Tensor):
        return out
    return out.to(args[0].dtype) if args[0].is_floating_point() else out


def _narrowed(module: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a plain layer's input in the number format of its weights."""
    return (args[0].to(module.weight.dtype), *args[1:])
