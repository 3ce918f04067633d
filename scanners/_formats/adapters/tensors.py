"""LoRA adapters as PEFT writes them: the configuration, and what each tensor is.

Made from JSON and a safetensors header; read by ``scanners.adapter_config``. No tensor data is read.

Source:
    peft 0.21.2: ``tuners/lora/config.py``, ``utils/save_and_load.py``, ``tuners/tuners_utils.py``
    (``check_target_module_exists``), ``utils/other.py`` (``get_pattern_key``), ``utils/peft_types.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

from scanners._formats.patterns import UnreadablePatternError, full_match
from scanners._formats.tensors.safetensors import Tensor

PREFIX = "base_model.model."
_PART = re.compile(r"\A(?P<module>.*)\.(?P<part>lora_(?:embedding_)?[AB])(?P<tail>(?:\.\w+)*?)(?:\.(?P<kind>weight|bias))?\Z")
_LAYER = re.compile(r"\A(?P<stem>(?:.*?\.)??(?P<index>\d{1,6}))\.(?P<rest>.+)\Z")
_OTHER = re.compile(
    r"\.(lora_magnitude_vector|lora_dropout|token_adapter\.trainable_tokens)|trainable_tokens_(delta|indices|original)"
)
_FULL = re.compile(r"\A(?P<module>.*?)(\.modules_to_save(\.\w+)?|\.original_module|\.base_layer)?\.(weight|bias)\Z")
_LONGEST_NAME = 500
#: No base has a module this wide.
LARGEST_RANK = 1 << 20
_KOHYA = ("lora_unet_", "lora_te_", "lora_transformer_", *(f"lora_te{n}_" for n in range(10)))
_KOHYA_HALVES = (".lora_down.weight", ".lora_up.weight")
#: Ends of the names that MLX, diffusers and kohya give to halves; few names of others have them.
_OTHER_ENDS = (".lora_a", ".lora_b", "down.weight", "up.weight")
#: Names of mlx-lm: A is (d_in, r), B is (r, d_out).
_MLX = re.compile(r"\A([\w.]{1,400})\.lora_([ab])\Z")
#: Older names of diffusers, and those of kohya's scripts.
_OTHER_LORA = re.compile(r"\A(.+?)(?:\.lora[._]|_lora\.)(down|up)\.weight\Z")
_HEADS = ("score", "classifier", "pre_classifier", "qa_outputs", "classification_head", "out_proj", "pooler", "v_head", "summary")
_HEAD_TASKS = ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS")


@dataclass(frozen=True)
class LoraConfig:
    """What an ``adapter_config.json`` says, as far as its types allow.

    Attributes:
        rank: ``r``; None if it is no whole number.
        alpha: ``lora_alpha``; None if it is no number.
        rank_pattern: Rank by pattern of module name.
        alpha_pattern: Alpha by pattern of module name.
        targets: Names of target modules; empty if given as a pattern.
        target_pattern: ``target_modules`` as a regular expression.
        all_linear: ``target_modules`` is ``all-linear``, or unset (then the library chooses).
        parameters: ``target_parameters``: tensors inside modules, whose names and ranks follow other laws.
        parents: The modules those tensors are in; empty for one that is named alone.
        lora_bias: Whether updates have a bias.
        to_save: ``modules_to_save``.
        rslora: Whether alpha is divided by √r.
        fan_in_fan_out: Whether the base's weights are stored transposed.
        packed: Whether a variant changes the shapes (``use_qalora``, ``layer_replication`` …).
        some_layers: Whether only some layers are adapted, by intent.
        bias: ``none``, ``all`` or ``lora_only``.
        task: ``task_type``.
        layers: ``layers_to_transform``; empty: all.
        excluded: ``exclude_modules``, given as names.
        dora: Whether every update has a magnitude beside it.
        token_rows: How many rows of the vocabulary each entry of ``trainable_token_indices`` trains.
    """

    rank: int | None
    alpha: float | None
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    target_pattern: str = ""
    all_linear: bool = False
    parameters: bool = False
    parents: tuple[str, ...] = ()
    lora_bias: bool = False
    to_save: tuple[str, ...] = ()
    rslora: bool = False
    fan_in_fan_out: bool = False
    packed: bool = False
    some_layers: bool = False
    bias: str = "none"
    task: str = ""
    layers: tuple[int, ...] = ()
    excluded: tuple[str, ...] = ()
    dora: bool = False
    token_rows: tuple[int, ...] = ()

    @cached_property
    def _ends(self) -> tuple[str, ...]:
        return tuple(f".{t}" for t in self.targets)

    def rank_of(self, module: str) -> int | None:
        """Return the rank a module should have."""
        key = _matching(self.rank_pattern, module)
        return self.rank if key is None else self.rank_pattern[key]

    def alpha_of(self, module: str) -> float | None:
        """Return the alpha a module is scaled with."""
        key = _matching(self.alpha_pattern, module)
        return self.alpha if key is None else self.alpha_pattern[key]

    def scaling_of(self, module: str) -> float | None:
        """Return α/r, or α/√r with rank-stabilised LoRA; None if r or α is no usable number.

        Source:
            arXiv:2106.09685, section 4.1; arXiv:2312.03732, equation 4.
        """
        rank, alpha = self.rank_of(module), self.alpha_of(module)
        if rank is None or alpha is None or not 0 < rank <= LARGEST_RANK:
            return None
        return alpha / (math.sqrt(rank) if self.rslora else rank)

    def stacks(self, module: str) -> bool:
        """Return whether the updates of a module are those of parameters in it, such as experts in one tensor."""
        return any(not p or module == p or module.endswith(f".{p}") for p in self.parents)

    def targeted(self, module: str) -> bool:
        """Return whether the configuration names a module.

        Raises:
            UnreadablePatternError: ``target_modules`` is a pattern this house does not read.
        """
        if self.all_linear:
            return True
        if self.target_pattern:
            return full_match(self.target_pattern, module)
        return f".{module}".endswith(self._ends)


@dataclass
class Pair:
    """The two halves of one module's update, as far as they are there."""

    down: Tensor | None = None
    up: Tensor | None = None
    embedding: bool = False


@dataclass(frozen=True)
class AdapterTensors:
    """An adapter's tensors, sorted by what they are.

    Attributes:
        pairs: Update halves by module, without PEFT's prefix.
        full: Whole weights by module: heads, saved modules, embeddings, biases.
        foreign: Tensors of no kind PEFT writes for LoRA.
        kohya: Whether the names are those of kohya's scripts.
        beside: DoRA's magnitudes and trained rows of the vocabulary, by module.
        biases: Of the updates themselves.
    """

    pairs: Mapping[str, Pair]
    full: Mapping[str, tuple[Tensor, ...]]
    foreign: tuple[Tensor, ...]
    kohya: bool
    beside: Mapping[str, list[Tensor]] = field(default_factory=dict)
    biases: tuple[Tensor, ...] = ()


def read_config(said: Mapping[str, object]) -> LoraConfig:
    """Return a LoRA configuration; what has the wrong type counts as not said.

    Args:
        said: The parsed ``adapter_config.json``.
    """
    targets, saved = said.get("target_modules"), _names(said.get("modules_to_save"))
    text = targets if isinstance(targets, str) else ""
    return LoraConfig(
        rank=_whole(said.get("r")),
        alpha=_number(said.get("lora_alpha")),
        rank_pattern={k: n for k, v in _mapping(said.get("rank_pattern")).items() if (n := _whole(v)) is not None},
        alpha_pattern={k: x for k, v in _mapping(said.get("alpha_pattern")).items() if (x := _number(v)) is not None},
        targets=_names(targets) if not text else (),
        target_pattern=text if text != "all-linear" else "",
        all_linear=text == "all-linear" or targets is None,
        parameters=bool(said.get("target_parameters")),
        parents=tuple(dict.fromkeys(n.rpartition(".")[0] for n in _names(said.get("target_parameters")))),
        lora_bias=said.get("lora_bias") is True,
        to_save=saved,
        rslora=said.get("use_rslora") is True,
        fan_in_fan_out=said.get("fan_in_fan_out") is True,
        packed=any(said.get(k) for k in ("use_qalora", "layer_replication", "megatron_config", "use_bdlora")),
        some_layers=any(said.get(k) is not None for k in ("layers_to_transform", "layers_pattern", "exclude_modules")),
        bias=str(said.get("bias", "none")),
        task=str(said.get("task_type") or ""),
        layers=_counts(said.get("layers_to_transform")),
        excluded=_names(said.get("exclude_modules")),
        dora=said.get("use_dora") is True,
        token_rows=_token_rows(said.get("trainable_token_indices")),
    )


def from_mlx(said: Mapping[str, object]) -> LoraConfig:
    """Return the configuration MLX writes, in the same terms; its ``scale`` is applied as it stands, so α = scale · r.

    Args:
        said: The parsed ``adapter_config.json`` of mlx-lm.

    Source:
        mlx-lm, ``tuner/lora.py`` and ``tuner/utils.py``.
    """
    inner = _mapping(said.get("lora_parameters"))
    rank, scale = _whole(inner.get("rank")), _number(inner.get("scale"))
    keys = _names(inner.get("keys"))
    alpha = scale * rank if rank is not None and scale is not None else 1.0 if scale is None and "scale" not in inner else None
    return LoraConfig(rank=rank, alpha=alpha, targets=keys, all_linear=not keys, dora=said.get("fine_tune_type") == "dora")


def sort_tensors(tensors: Iterable[Tensor]) -> AdapterTensors:
    """Return what each tensor of an adapter is, by its name."""
    pairs: dict[str, Pair] = {}
    full: dict[str, tuple[Tensor, ...]] = {}
    beside: dict[str, list[Tensor]] = {}
    foreign, biases, kohya = [], list[Tensor](), False
    for tensor in tensors:
        kohya = kohya or _is_kohya(tensor.name)
        tensor = _as_peft(tensor)
        name = tensor.name.removeprefix(PREFIX)
        if len(name) > _LONGEST_NAME:
            foreign.append(tensor)
        elif ".lora_" in name and (match := _PART.match(name)):
            if match["kind"] == "bias":
                biases.append(tensor)
                continue
            pair = pairs.setdefault(match["module"].removesuffix(".base_layer"), Pair())
            pair.embedding = pair.embedding or "embedding" in match["part"]
            if match["part"].endswith("A"):
                pair.down = tensor
            else:
                pair.up = tensor
        elif match := _OTHER.search(name):
            beside.setdefault(name[: match.start()].removesuffix(".base_layer"), []).append(tensor)
        elif tensor.name.startswith(PREFIX) and (match := _FULL.match(name)):
            full[match["module"]] = (*full.get(match["module"], ()), tensor)
        else:
            foreign.append(tensor)
    return AdapterTensors(pairs=pairs, full=full, foreign=tuple(foreign), kohya=kohya, beside=beside, biases=tuple(biases))


def _is_kohya(name: str) -> bool:
    return (name.startswith(_KOHYA) or name.endswith(_KOHYA_HALVES)) and len(name) <= _LONGEST_NAME


def _as_peft(tensor: Tensor) -> Tensor:
    """Return a tensor of MLX, diffusers or kohya under PEFT's name and in its orientation; any other as it is."""
    if not tensor.name.endswith(_OTHER_ENDS):
        return tensor
    if match := _MLX.match(tensor.name):
        return replace(tensor, name=f"{match[1]}.lora_{match[2].upper()}.weight", shape=tensor.shape[::-1])
    if len(tensor.name) <= _LONGEST_NAME and (match := _OTHER_LORA.match(tensor.name)):
        return replace(tensor, name=f"{match[1]}.lora_{'A' if match[2] == 'down' else 'B'}.weight")
    return tensor


def broken_pairs(config: LoraConfig, tensors: AdapterTensors) -> list[tuple[Tensor, str]]:
    """Return updates that lack a half, or whose halves cannot be multiplied, each with what is wrong."""
    found: list[tuple[Tensor, str]] = []
    for module, pair in tensors.pairs.items():
        some = pair.down or pair.up
        if some is None:
            continue
        if pair.down is None or pair.up is None:
            found.append((some, f"{module} has no {'down' if pair.down is None else 'up'}-projection"))
            continue
        down, up, expected = pair.down.shape, pair.up.shape, config.rank_of(module)
        if len(down) < 2 or len(up) < 2 or 0 in down or 0 in up:
            found.append((some, f"{module} has halves of shape {list(down)} and {list(up)}"))
        elif _swapped(down, up, expected):
            found.append((some, f"{module}: {list(down)} and {list(up)} are swapped"))
        elif down[0] != up[1]:
            found.append((some, f"{module}: {list(down)} and {list(up)} cannot be multiplied"))
    return found


def _swapped(down: tuple[int, ...], up: tuple[int, ...], rank: int | None) -> bool:
    """Return whether the rank stands where the widths should be, in both halves."""
    return down[-1] == up[0] == rank and rank not in (down[0], up[-1])


def odd_layers(config: LoraConfig, tensors: AdapterTensors) -> list[tuple[Tensor, str]]:
    """Return what no single base could hold: a layer far beyond the others, or attention halves of different inputs.

    Needs no base, so it also speaks where the base is unknown.
    """
    inputs: dict[str, dict[int, Tensor]] = {}
    layers: dict[int, Tensor] = {}
    for module, pair in tensors.pairs.items():
        if pair.down is None or len(pair.down.shape) < 2 or not (match := _LAYER.match(module)):
            continue
        layers.setdefault(int(match["index"]), pair.down)
        if match["rest"] in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
            inputs.setdefault(match["stem"], {})[pair.down.shape[1]] = pair.down
    found = [(next(iter(w.values())), f"{stem} takes inputs of widths {sorted(w)}") for stem, w in inputs.items() if len(w) > 1]
    order = sorted(layers)
    gaps = [b - a for a, b in pairwise(order)]
    if len(gaps) > 2 and gaps[-1] > 4 * max(gaps[:-1]) and not config.some_layers:
        found.append((layers[order[-1]], f"layer {order[-1]} stands alone, after layer {order[-2]}"))
    return found


def wrong_ranks(config: LoraConfig, tensors: AdapterTensors) -> list[tuple[Tensor, int, int]]:
    """Return whole updates whose rank is not the configured one, with the rank found and the rank expected."""
    found = []
    for module, pair in tensors.pairs.items():
        if pair.down is None or pair.up is None or len(pair.down.shape) < 2 or len(pair.up.shape) < 2:
            continue
        rank, expected = pair.down.shape[0], config.rank_of(module)
        if rank != pair.up.shape[1] or expected in (None, rank) or _swapped(pair.down.shape, pair.up.shape, expected):
            continue
        if expected is None or (config.parameters and expected > 0 and rank % expected == 0):
            continue  # experts of one layer are stacked along the rank
        found.append((pair.down, rank, expected))
    return found


def declared_full(config: LoraConfig, module: str, tensors: Iterable[Tensor]) -> str | None:
    """Return why whole weights of a module are expected, or None if nothing declares them.

    Args:
        config: The configuration.
        module: Name without PEFT's prefix.
        tensors: Its whole tensors.
    """
    parts = module.split(".")
    if any(s in parts or module == s or module.endswith(f".{s}") for s in config.to_save):
        return "modules_to_save declares it"
    if config.task in _HEAD_TASKS and set(parts) & set(_HEADS):
        return f"it is the head of a {config.task} task"
    if config.bias != "none" and all(t.name.endswith(".bias") for t in tensors):
        return "bias declares it"
    if parts[-1] in config.targets:
        return "it is a target module whose base was saved along"
    return None


def _matching(patterns: Iterable[str], module: str) -> str | None:
    """Return the first pattern that means a module; one that cannot be read means only the name it spells."""
    for key in patterns:
        try:
            if full_match(rf"(.*\.)?({key})$", module):
                return key
        except UnreadablePatternError:
            if module == key or module.endswith(f".{key}"):
                return key
    return None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    """Return a number as a float; NaN and infinity stay what they are, a whole number beyond floats becomes infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if isinstance(value, float) or abs(value) < 10**300 else math.inf


def _counts(value: object) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(n for v in values[:10_000] if (n := _whole(v)) is not None))


def _token_rows(value: object) -> tuple[int, ...]:
    groups = value.values() if isinstance(value, dict) else [value]
    return tuple(len(g) for g in groups if isinstance(g, list) and g)


def _mapping(value: object) -> Mapping[str, object]:
    return {str(k): v for k, v in value.items()} if isinstance(value, dict) else {}


def _names(value: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(v)[:300] for v in value[:2_000] if isinstance(v, str))) if isinstance(value, list) else ()
