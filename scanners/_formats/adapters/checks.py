"""A LoRA configuration held against its tensors: ranks, halves, targets, layers, whole weights.

Read by ``scanners.adapter_config``.

Source:
    peft 0.21.2, ``tuners/tuners_utils.py`` and ``utils/save_and_load.py``.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence

from governance.evidence import Confidence, Finding, Location, Severity
from scanners._formats.adapters.rules import FOREIGN, FULL, PAIR, RANK, TARGETS, cut, said
from scanners._formats.adapters.tensors import (
    PREFIX,
    AdapterTensors,
    LoraConfig,
    broken_pairs,
    declared_full,
    odd_layers,
    wrong_ranks,
)
from scanners._formats.patterns import UnreadablePatternError
from scanners._formats.tensors.safetensors import Tensor

_SAME = "ask the author for configuration and weights of the same training run"
_BLOCK = re.compile(r"\A(?P<stem>.*?)\.(?P<layer>\d{1,6})\.(?P<block>[\w.]+)\.(?P<kind>\w+)\Z")
_WHOLE = frozenset({"I64", "I32", "I16", "U64", "U32", "U16", "BOOL"})
#: Layers of a kind, at least, before one that is missing says anything.
_ENOUGH = 6


def pairs(weights: str, config: LoraConfig, tensors: AdapterTensors) -> Iterator[Finding]:
    """Yield halves that are missing, do not fit or have another rank, and layers no single base could have."""
    count = len(tensors.pairs)
    broken, ranks = broken_pairs(config, tensors), wrong_ranks(config, tensors)
    for tensor, what in odd_layers(config, tensors)[:5]:
        yield said(
            TARGETS, f"{what}; no base is built like that", "ask the author for an intact file",
            Location(path=weights, tensor=tensor.name), confidence=Confidence.MEDIUM,
        )  # fmt: skip
    if broken:
        yield said(
            PAIR, f"{len(broken)} of {count} updates are broken; first: {broken[0][1]}",
            "ask the author for an intact file", *(Location(path=weights, tensor=t.name) for t, _ in broken[:5]),
        )  # fmt: skip
    if ranks:
        first, found, expected = ranks[0]
        yield said(
            RANK,
            f"{len(ranks)} of {count} updates have another rank than the configuration says; "
            f"first: {cut(first.name, 200)} has {found}, expected {expected}",
            _SAME,
            *(Location(path=weights, tensor=t.name) for t, _, _ in ranks[:5]), found=str(found), expected=str(expected),
        )  # fmt: skip
    yield from _beside(weights, config, tensors)
    yield from _kinds(weights, config, tensors)


def _kinds(weights: str, config: LoraConfig, tensors: AdapterTensors) -> Iterator[Finding]:
    """Yield biases that nothing declares, and updates whose numbers no training leaves."""
    if tensors.biases and not config.lora_bias:
        first = tensors.biases[0]
        yield said(
            TARGETS, f"{len(tensors.biases)} updates bring a bias, but lora_bias is not set: some loaders add it, some do not",
            _SAME, Location(path=weights, tensor=first.name),
        )  # fmt: skip
    whole_ = [t for p in tensors.pairs.values() for t in (p.down, p.up) if t and t.dtype in _WHOLE]
    if whole_:
        yield said(
            PAIR, f"{len(whole_)} halves hold whole numbers ({whole_[0].dtype}), which no training leaves, "
            f"first {cut(whole_[0].name, 200)}",
            "ask the author for an intact file", Location(path=weights, tensor=whole_[0].name), severity=Severity.MEDIUM,
        )  # fmt: skip


def unloaded(weights: str, tensors: AdapterTensors) -> Iterator[Finding]:
    """Yield names that peft's loader passes over in silence: those of its own file that lack its prefix."""
    names = [t.name for p in tensors.pairs.values() for t in (p.down, p.up) if t]
    strange = [n for n in names if not n.startswith(PREFIX)]
    if strange and weights.rsplit("/", 1)[-1].startswith("adapter_model."):
        yield said(
            TARGETS, f"{len(strange)} of {len(names)} halves have no name peft loads, first {cut(strange[0], 200)}: it leaves them "
            "out in silence, other loaders may not", _SAME, Location(path=weights, tensor=strange[0]),
        )  # fmt: skip


def _beside(weights: str, config: LoraConfig, tensors: AdapterTensors) -> Iterator[Finding]:
    """Yield DoRA magnitudes and trained vocabulary rows that the configuration does not promise, or promises in vain."""
    magnitudes = {m: t for m, ts in tensors.beside.items() for t in ts if "magnitude" in t.name}
    without = [m for m in tensors.pairs if m not in magnitudes] if config.dora else []
    if magnitudes and not config.dora:
        first = next(iter(magnitudes.values()))
        yield said(
            TARGETS, f"{len(magnitudes)} magnitudes of DoRA are shipped, but use_dora is not set: peft ignores them",
            _SAME, Location(path=weights, tensor=first.name),
        )  # fmt: skip
    elif without and len(without) < len(tensors.pairs):
        yield said(
            PAIR, f"{len(without)} updates lack DoRA's magnitude, first {cut(without[0], 200)}", _SAME, Location(path=weights)
        )
    elif without:
        yield said(TARGETS, "use_dora is set, but no magnitude is shipped", _SAME, Location(path=weights))
    for module, pair in tensors.pairs.items():
        own = magnitudes.get(module)
        if (
            own is not None
            and pair.up is not None
            and pair.up.shape
            and len(own.shape) == 1
            and not pair.embedding
            and own.shape[0] != pair.up.shape[0]
        ):
            yield said(
                PAIR, f"DoRA's magnitude of {cut(module, 200)} has {own.shape[0]} elements for {pair.up.shape[0]} outputs",
                "ask the author for an intact file", Location(path=weights, tensor=own.name),
            )  # fmt: skip
            break
    rows = [t for ts in tensors.beside.values() for t in ts if "trainable_tokens_delta" in t.name]
    for tensor in rows[:20]:
        if not config.token_rows or (tensor.shape and tensor.shape[0] not in config.token_rows):
            yield said(
                TARGETS, f"{cut(tensor.name, 200)} trains {tensor.shape[0] if tensor.shape else 0} rows of the vocabulary, "
                f"the configuration names {config.token_rows[0] if config.token_rows else 'none'}",
                _SAME, Location(path=weights, tensor=tensor.name), severity=Severity.HIGH if not config.token_rows else None,
            )  # fmt: skip


def whole(weights: str, config: LoraConfig, full: Mapping[str, Sequence[Tensor]], foreign: Sequence[Tensor]) -> Iterator[Finding]:
    """Yield whole weights, declared or not, and tensors of no known kind."""
    undeclared: list[Tensor] = []
    declared: dict[str, list[tuple[str, Tensor]]] = {}
    for module, own in full.items():
        why = declared_full(config, module, own)
        if why is None:
            undeclared.extend(own)
        else:
            declared.setdefault(why, []).extend((module, t) for t in own)
    for why, found in declared.items():
        names = list(dict.fromkeys(m for m, _ in found))
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield said(
            FULL, f"whole weights of {cut(names[0], 200)}{more} are shipped; {why}", "none needed if the card says so",
            *(Location(path=weights, tensor=t.name) for _, t in found[:5]), severity=Severity.LOW,
        )  # fmt: skip
    if undeclared:
        yield said(
            FULL,
            f"{len(undeclared)} whole weights are shipped that the configuration does not declare, first "
            f"{cut(undeclared[0].name, 200)} {list(undeclared[0].shape)}; they replace what the base holds there",
            "ask the author why; load only the declared updates",
            *(Location(path=weights, tensor=t.name) for t in undeclared[:5]),
        )  # fmt: skip
    lost = [s for s in config.to_save if full and not any(s in m.split(".") or m.endswith(s) for m in full)]
    if lost or (config.to_save and not full):
        names = list(lost or config.to_save)
        yield said(
            TARGETS, f"modules_to_save names what is not shipped: {cut(', '.join(names))}",
            "ask the author; harmless if the base has no such modules", Location(path=weights),
            severity=Severity.LOW, confidence=Confidence.MEDIUM,
        )  # fmt: skip
    if foreign:
        yield said(
            FOREIGN, f"{len(foreign)} tensors are of no kind peft writes, first {cut(foreign[0].name)}",
            "ask the author which tool wrote them", *(Location(path=weights, tensor=t.name[:300]) for t in foreign[:5]),
        )  # fmt: skip


def targets(
    path: str, weights: str, config: LoraConfig, modules: Mapping[str, Tensor], beside: Sequence[str] = ()
) -> Generator[Finding, None, str]:
    """Yield what targets and tensors do not agree on; return why they could not be compared, if so.

    Args:
        path: Of the configuration.
        weights: Of the tensors.
        config: As read.
        modules: That have updates, with one tensor of each.
        beside: Modules that have other tensors.
    """
    try:
        stray = [m for m in modules if not config.stacks(m) and not config.targeted(m)]
    except UnreadablePatternError as error:
        return f"target_modules is a pattern that is not read ({error})"
    if stray:
        yield said(
            TARGETS, f"{len(stray)} of {len(modules)} updated modules are no declared target, first {cut(stray[0], 200)}",
            _SAME, *(Location(path=weights, tensor=modules[m].name) for m in stray[:5]),
        )  # fmt: skip
    yield from _left_out(weights, config, modules)
    here = (*modules, *beside)
    known = set(here)
    unmet = [t for t in config.targets if t not in known and not any(m.endswith(f".{t}") for m in here)]
    if unmet and modules:
        yield said(
            TARGETS, f"the configuration names target modules without tensors: {cut(', '.join(unmet[:8]), 300)}",
            "ask the author; harmless if the base has no such modules", Location(path=path, key="target_modules"),
            severity=Severity.LOW, confidence=Confidence.MEDIUM,
        )  # fmt: skip
    for name, layer in _holes(config, modules)[:3]:
        yield said(
            TARGETS, f"layer {layer} has no update of {cut(name)}, although all other layers and the same block of that layer have",
            "ask the author for an intact file", Location(path=weights), confidence=Confidence.MEDIUM,
        )  # fmt: skip
    return ""


def _left_out(weights: str, config: LoraConfig, modules: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Yield updates of modules or layers that the configuration leaves out."""
    ends = tuple(f".{e}" for e in config.excluded)
    excluded = [m for m in modules if f".{m}".endswith(ends)] if ends else []
    if excluded:
        yield said(
            TARGETS, f"{len(excluded)} updated modules are excluded by exclude_modules, first {cut(excluded[0], 200)}",
            _SAME, Location(path=weights, tensor=modules[excluded[0]].name),
        )  # fmt: skip
    wanted = set(config.layers)
    outside = [m for m in modules if (n := re.findall(r"\.(\d{1,6})\.", m)) and not wanted & set(map(int, n))] if wanted else []
    if outside:
        yield said(
            TARGETS, f"{len(outside)} updates lie outside layers_to_transform, first {cut(outside[0], 200)}",
            _SAME, Location(path=weights, tensor=modules[outside[0]].name),
        )  # fmt: skip


def _holes(config: LoraConfig, modules: Mapping[str, Tensor]) -> list[tuple[str, int]]:
    """Return kinds of module that one or two layers lack, although a sibling in the same block is there."""
    if config.some_layers or config.rank_pattern:
        return []
    blocks: dict[tuple[str, str], dict[str, set[int]]] = {}
    for module in modules:
        if match := _BLOCK.match(module):
            kinds = blocks.setdefault((match["stem"], match["block"]), {})
            kinds.setdefault(match["kind"], set()).add(int(match["layer"]))
    found = []
    for (_, block), kinds in blocks.items():
        everywhere = set().union(*kinds.values())
        for kind, layers in kinds.items():
            lacking = sorted(everywhere - layers)
            if len(lacking) in (1, 2) and len(layers) >= _ENOUGH and lacking[-1] <= max(layers) + 1:
                found += [(f"{block}.{kind}", n) for n in lacking]
    return found
