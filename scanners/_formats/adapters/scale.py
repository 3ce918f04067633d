"""How strongly a LoRA adapter is applied, and which loaders would apply something else. Read by ``scanners.adapter_config``.

Source:
    LoRA, arXiv:2106.09685, section 4.1; rsLoRA, arXiv:2312.03732; DoRA, arXiv:2402.09353; peft 0.21.2 ``tuners/lora/layer.py``;
    vLLM ``lora/peft_helper.py``; SGLang ``lora``; llama.cpp ``convert_lora_to_gguf.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from governance.evidence import Confidence, Finding, Location, Severity
from scanners._formats.adapters.rules import SCALING, SCALING_LOADER, cut, said
from scanners._formats.adapters.tensors import LARGEST_RANK, LoraConfig

#: Of 64 real LoRA configurations every scale lay between 1/4 and 4, and rank 1 with alpha 32 is honest; twice that is the end.
_MOST, _LEAST = 64.0, 1 / 1024
#: Times apart from which another loader's scale is another model and no variant.
_FAR = 8.0


def scales(path: str, config: LoraConfig, modules: Iterable[str]) -> Iterator[Finding]:
    """Yield ranks, alphas and scales no honest training run leaves behind."""
    ranks = {"r": config.rank, **{f"rank_pattern.{k[:80]}": v for k, v in config.rank_pattern.items()}}
    alphas = {"lora_alpha": config.alpha, **{f"alpha_pattern.{k[:80]}": v for k, v in config.alpha_pattern.items()}}
    odd = False
    for key, rank in ranks.items():
        if rank is None or not 0 < rank <= LARGEST_RANK:
            odd = True
            shown = "no whole number" if rank is None else "beyond any base" if rank > 0 else str(max(rank, -LARGEST_RANK))
            yield said(SCALING, f"the rank {cut(key)} is {shown}", "ask the author for the right one", Location(path=path, key=key))
    for key, alpha in alphas.items():
        if alpha is None or not math.isfinite(alpha) or alpha <= 0:
            odd = True
            yield said(SCALING, f"{cut(key)} {_effect(alpha)}", "ask the author for the right one", Location(path=path, key=key))
    if odd:
        return
    far = [(m, s) for m in ("", *modules) if (s := config.scaling_of(m)) is not None and not _LEAST <= s <= _MOST]
    if far:
        name, scale = far[0]
        yield said(
            SCALING,
            f"the update{f' of {cut(name)}' if name else ''} is multiplied by {scale:g} (rank {config.rank_of(name)}, "
            f"alpha {config.alpha_of(name):g}); training leaves between {_LEAST:g} and {_MOST:g}",
            "ask the author for the scale it was trained with",
            Location(path=path, key="lora_alpha"),
            confidence=Confidence.MEDIUM,
            scale=f"{scale:g}",
        )


def _effect(alpha: float | None) -> str:
    if alpha is None:
        return "is no number: the update has no defined scale"
    if alpha == 0:
        return "is 0: the update does nothing"
    return f"is {alpha:g}: " + ("the update is turned round" if alpha < 0 else "the update has no defined scale")


def loaders(path: str, said_: Mapping[str, object], config: LoraConfig, modules: Iterable[str]) -> Iterator[Finding]:
    """Yield where loaders would apply different updates; a variant alone is a note, a scale far off is not.

    Args:
        path: Of the configuration.
        said_: It.
        config: As read.
        modules: That have updates.
    """
    plain = _plain(config)
    spread = [(m, s / plain) for m in modules if plain and (s := config.scaling_of(m)) and s > 0]
    far = max(spread, key=lambda p: abs(math.log(p[1])), default=("", 1.0))
    patterned = bool(config.rank_pattern or config.alpha_pattern)
    if patterned or config.rslora:
        what = " and ".join(w for w, on in (("rank_pattern or alpha_pattern", patterned), ("use_rslora", config.rslora)) if on)
        times = max(far[1], 1 / far[1])
        loud = times >= _FAR and (patterned or times > 2 * _FAR)
        yield said(
            SCALING_LOADER,
            f"the configuration uses {what}; a loader that ignores it (SGLang, llama.cpp; for patterns vLLM too) multiplies "
            + (f"{cut(far[0])} by another factor, {times:.3g} times off" if times > 1.01 else "all updates by the same factor"),
            "serve it with peft, or merge it before serving it elsewhere",
            Location(path=path, key="use_rslora" if config.rslora else "alpha_pattern"),
            severity=None if loud else Severity.LOW,
            confidence=Confidence.MEDIUM,
            times=f"{times:.4g}",
        )
    refused = [k for k in ("use_dora", "modules_to_save") if said_.get(k)]
    if refused:
        yield said(
            SCALING_LOADER,
            f"the configuration uses {' and '.join(refused)}, which vLLM refuses and other servers leave out",
            "measure it with the loader that will serve it",
            Location(path=path, key=refused[0]),
            severity=Severity.LOW,
            confidence=Confidence.MEDIUM,
        )


def _plain(config: LoraConfig) -> float | None:
    """Return the factor of a loader that knows only ``r`` and ``lora_alpha``."""
    if (
        not config.rank
        or not 0 < config.rank <= LARGEST_RANK
        or not config.alpha
        or config.alpha <= 0
        or not math.isfinite(config.alpha)
    ):
        return None
    return config.alpha / config.rank
