"""What a base model's headers and configuration say about its shapes, and whether an adapter's modules fit them.

Made from safetensors headers and ``config.json``; read by ``scanners.adapter_config``. No weights are read.

Source:
    transformers ``PretrainedConfig`` field names; LoRA shapes: A is (r, d_in), B is (d_out, r), arXiv:2106.09685.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

from scanners._formats.adapters.peft_laws import Owned
from scanners._formats.adapters.tensors import Pair
from scanners._formats.tensors.safetensors import Tensor

_LAYER = re.compile(r"(?:\A|\.)(?P<index>\d+)\.(?P<rest>.+)\Z")
_OTHER_TOWER = re.compile(r"vision|visual|image|audio|speech|encoder")
#: A width nothing is known of.
_ANY = -1
_EMBEDDINGS, _HEADS = ("embed_tokens", "wte", "word_embeddings", "embed_in", "shared"), ("lm_head", "embed_out")
_PACKED = ("U8", "I8", "I32", "F8_E4M3", "F8_E5M2", "F4")


@dataclass(frozen=True)
class BaseShapes:
    """The base's modules.

    Attributes:
        modules: Candidate (rows, columns) of each weight, by module name and by name from the layer's number on.
        kinds: Names inside a layer (``self_attn.q_proj``) with the layers that have them.
        packed: Whether weights are quantized, so that their shapes say nothing.
        layers: Number of layers, if known.
        where: What this was read from, for messages.
    """

    modules: Mapping[str, tuple[tuple[int, ...], ...]]
    kinds: Mapping[str, frozenset[int]]
    packed: bool
    layers: int | None
    where: str


@dataclass(frozen=True, slots=True)
class Width:
    """How wide an adapter takes a module to be; None: it does not say.

    Attributes:
        into: Inputs.
        out: Outputs.
        tensor: Where that was read.
    """

    into: int | None
    out: int | None
    tensor: str


@dataclass(frozen=True)
class Misfit:
    """One module that cannot belong to the base."""

    module: str
    tensor: str
    what: str


def from_headers(tensors: Iterable[Tensor], config: Mapping[str, object], where: str) -> BaseShapes:
    """Return a base's modules from its own headers.

    Args:
        tensors: Of all its weight files.
        config: Its ``config.json``; empty if it cannot be read.
        where: Names the files.
    """
    modules: dict[str, tuple[tuple[int, ...], ...]] = {}
    kinds: dict[str, set[int]] = {}
    packed = False
    for tensor in tensors:
        packed = packed or (tensor.dtype in _PACKED and tensor.name.endswith((".weight", ".qweight", ".weight_packed")))
        if not tensor.name.endswith(".weight") or len(tensor.shape) < 2:
            continue
        module = tensor.name.removesuffix(".weight")
        for key in _keys(module):
            modules[key] = (*modules.get(key, ()), tensor.shape)
        if match := _LAYER.search(module):
            kinds.setdefault(match["rest"], set()).add(int(match["index"]))
    tables = [m for m in modules if m.rsplit(".", 1)[-1] in _EMBEDDINGS]
    for head in _HEADS if tables else ():  # an output layer that is tied to the embeddings is not stored
        modules.setdefault(head, modules[tables[0]])
    return BaseShapes(
        modules=modules,
        kinds={k: frozenset(v) for k, v in kinds.items()},
        packed=packed or bool(config.get("quantization_config")),
        layers=_layers(config),
        where=where,
    )


def from_config(config: Mapping[str, object]) -> BaseShapes | None:
    """Return the widths a Llama-like ``config.json`` fixes beyond doubt, or None if it names none.

    Only the side of each projection that meets the hidden state: the other one differs between attention variants.

    Args:
        config: Of the base; a multimodal one holds its language model under ``text_config``.
    """
    inner = config.get("text_config")
    said = inner if isinstance(inner, dict) else config
    hidden, layers = _int(said, "hidden_size"), _layers(config)
    if hidden is None or layers is None:
        return None
    kinds = {f"self_attn.{n}": (_ANY, hidden) for n in ("q_proj", "k_proj", "v_proj")} | {"self_attn.o_proj": (hidden, _ANY)}
    kinds |= {"mlp.gate_proj": (_ANY, hidden), "mlp.up_proj": (_ANY, hidden), "mlp.down_proj": (hidden, _ANY)}
    modules = {f"{i}.{kind}": (shape,) for i in range(min(layers, 1_000)) for kind, shape in kinds.items()}
    return BaseShapes(modules=modules, kinds={}, packed=False, layers=layers, where="config.json")


def widths_of_pairs(pairs: Mapping[str, Pair]) -> dict[str, Width]:
    """Return the widths of LoRA's pairs; embeddings, whose laws differ, are left out."""
    found = {}
    for module, pair in pairs.items():
        some = pair.down or pair.up
        if some is not None and not pair.embedding:
            into = pair.down.shape[1] if pair.down and len(pair.down.shape) > 1 else None
            found[module] = Width(into, pair.up.shape[0] if pair.up and pair.up.shape else None, some.name)
    return found


def widths_of_parts(modules: Mapping[str, Owned]) -> dict[str, Width]:
    """Return the widths that the laws of another type found."""
    return {
        m: Width(o.sizes.get("in"), o.sizes.get("out"), next(iter(o.parts.values())).name) for m, o in modules.items() if o.parts
    }


def misfits(widths: Mapping[str, Width], base: BaseShapes, *, transposed: bool) -> list[Misfit]:
    """Return the modules that cannot belong to a base.

    Args:
        widths: The adapter's modules, as wide as it takes them to be.
        base: Shapes of the base.
        transposed: The base stores (d_in, d_out), as GPT-2's Conv1D does.
    """
    found = []
    for module, width in widths.items():
        what = _misfit(module, width, base, transposed)
        if what:
            found.append(Misfit(module, width.tensor, what))
    return found


def _misfit(module: str, width: Width, base: BaseShapes, transposed: bool) -> str | None:
    if not base.kinds and _OTHER_TOWER.search(module):
        return None
    match = _LAYER.search(module)
    if match and base.layers is not None and int(match["index"]) >= base.layers and not _known(module, base):
        return f"layer {match['index']}, but the base has {base.layers} layers"
    shapes = _known(module, base)
    if not shapes:
        if not base.kinds or base.packed:
            return None
        if match and match["rest"] in base.kinds:
            return f"layer {match['index']}, which the base does not have for {match['rest']}"
        return "a module the base does not have"
    if base.packed:
        return None
    into, out = width.into, width.out
    if into is None and out is None:
        return None
    for shape in shapes:
        rows, columns = (shape[1], shape[0]) if transposed else (shape[0], shape[1])
        unrolled = prod(shape[1:])  # some types flatten a convolution's kernel into its inputs
        if (into in (None, columns, unrolled) or columns == _ANY) and (out in (None, rows) or rows == _ANY):
            return None
    rows, columns = (shapes[0][1], shapes[0][0]) if transposed else (shapes[0][0], shapes[0][1])
    return f"{_wide(into)} inputs and {_wide(out)} outputs, where the base has {_wide(columns)} and {_wide(rows)}"


def _wide(count: int | None) -> str:
    return "any" if count in (None, _ANY) else str(count)


def _known(module: str, base: BaseShapes) -> tuple[tuple[int, ...], ...]:
    return next((base.modules[key] for key in _keys(module) if key in base.modules), ())


def _keys(module: str) -> tuple[str, ...]:
    """Return the names a module is known by: its own, and from its layer's number on, as prefixes differ between classes."""
    match = _LAYER.search(module)
    return (module, f"{match['index']}.{match['rest']}") if match else (module,)


def _layers(config: Mapping[str, object]) -> int | None:
    inner = config.get("text_config")
    return _int(inner if isinstance(inner, dict) else config, "num_hidden_layers", "n_layer", "num_layers", "n_layers")


def _int(config: Mapping[str, object], *names: str) -> int | None:
    values = (config.get(n) for n in names)
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool) and 0 < v < 10**9), None)
