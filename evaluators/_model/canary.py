"""Notices that a base has changed: a few fixed rows have to give the same logits, bit for bit, for as long as it is loaded.

Attaching and removing adapters must leave the base alone, and once did not: bitsandbytes 0.50.2 on processors with
AVX512-BF16 repacked weights that the next adapter read wrongly, without an error. Asked by ``evaluators._model.resident``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evaluators._model.device import Device

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_ROWS, _LENGTH = 8, 8


def sing(model: PreTrainedModel, where: Device) -> list[torch.Tensor]:
    """Return the last logits of fixed rows of token ids, one row a pass, so that no batch shape can differ.

    Args:
        model: The base, or a base whose adapter is disabled.
        where: Its device.
    """
    import torch

    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    rows = [[(7919 * (row + 1) * (column + 3)) % vocabulary for column in range(_LENGTH)] for row in range(_ROWS)]
    with torch.inference_mode():
        return [model(input_ids=torch.tensor([r], device=where.kind), use_cache=False).logits[0, -1].cpu() for r in rows]


def equal(before: Sequence[torch.Tensor], now: Sequence[torch.Tensor]) -> bool:
    """Return whether two songs are the same, bit for bit."""
    import torch

    return all(torch.equal(a, b) for a, b in zip(before, now, strict=True))
