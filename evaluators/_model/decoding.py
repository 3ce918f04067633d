"""Greedy answers of one batch, padded on the left, with the attention cache of the library. Used by ``resident``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from evaluators._model.resident import Resident


def decode(
    model: Resident, prompts: Sequence[Sequence[int]], which: Literal["base", "adapter"], most: int, stops: Sequence[str]
) -> list[list[int]]:
    """Return the most likely continuation of each prompt, token by token.

    Sampling settings that a repository ships are not read: the same weights give the same text.

    Args:
        model: The resident model.
        prompts: Token ids of one batch, none empty.
        which: Model to use.
        most: Longest answer in tokens.
        stops: Texts after which an answer is not continued.
    """
    import torch

    ids, mask = model.padded(prompts, left=True)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    answers: list[list[int]] = [[] for _ in prompts]
    unfinished = set(range(len(prompts)))
    past = None
    with torch.inference_mode(), model.use(which) as network:
        for _ in range(most):
            last = torch.zeros(ids.shape, dtype=torch.bool, device=ids.device)
            last[:, -1] = True
            with model.only(last):
                out = network(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=past, use_cache=True)
            past, chosen = out.past_key_values, out.logits[0].argmax(-1)
            for row in sorted(unfinished):
                token = int(chosen[row])
                if token not in model.eos:
                    answers[row].append(token)
                if token in model.eos or any(stop in model.decode(answers[row]) for stop in stops):
                    unfinished.discard(row)
            if not unfinished:
                break
            ids, positions = chosen[:, None], positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones((len(prompts), 1))], dim=-1)
    return answers
