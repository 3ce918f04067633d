"""Greedy answers of one batch, with attention caches. Used by ``resident``.

Where trees are exact, a beginning that all prompts share is encoded once, and a row leaves the batch with its last token.
Elsewhere prompts of equal length run together, without padding, with the library's own cache.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from evaluators._model.attention import Past, length_of, masks, straight

if TYPE_CHECKING:
    from evaluators._model.resident import Resident

#: Shorter beginnings are encoded again.
_WORTH_SHARING = 32


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all prompts begin with in common, if that is worth a pass of its own; else 0.

    One token of the shortest prompt is always left.
    """
    first, last = min(map(tuple, prompts)), max(map(tuple, prompts))
    most = min(len(p) for p in prompts) - 1
    length = next((i for i in range(most) if first[i] != last[i]), most)
    return length if len(prompts) > 1 and length >= _WORTH_SHARING else 0


def decode(
    model: Resident,
    prompts: Sequence[Sequence[int]],
    which: Literal["base", "adapter"],
    most: int,
    stops: Sequence[str],
    past: Past | None = None,
) -> list[list[int]]:
    """Return the most likely continuation of each prompt, token by token.

    Sampling settings that a repository ships are not read: the same weights give the same text.

    Args:
        model: The resident model.
        prompts: Token ids of one batch, none empty.
        which: Model to use.
        most: Longest answer in tokens.
        stops: Texts after which an answer is not continued.
        past: Cache of tokens that all prompts begin with.
    """
    if most < 1:
        return [[] for _ in prompts]
    if model.way.fits(max(len(p) for p in prompts) + most):
        return _in_trees(model, prompts, which, most, stops, past)
    alike: dict[int, list[int]] = defaultdict(list)
    for number, prompt in enumerate(prompts):
        alike[len(prompt)].append(number)
    found: dict[int, list[int]] = {}
    for numbers in alike.values():
        found.update(zip(numbers, _plainly(model, [prompts[n] for n in numbers], which, most, stops), strict=True))
    return [found[n] for n in range(len(prompts))]


def _ends(model: Resident, answer: list[int], token: int, stops: Sequence[str]) -> bool:
    """Note a token; return whether the answer ends with it."""
    if token in model.eos:
        return True
    answer.append(token)
    if not stops:
        return False
    text = model.decode(answer)
    return any(stop in text for stop in stops if stop)


def _in_trees(
    model: Resident,
    prompts: Sequence[Sequence[int]],
    which: Literal["base", "adapter"],
    most: int,
    stops: Sequence[str],
    past: Past | None,
) -> list[list[int]]:
    import torch

    begun = length_of(past)
    rows = [straight(p[begun:], begun) for p in prompts]
    answers: list[list[int]] = [[] for _ in prompts]
    left = list(range(len(prompts)))
    logits, cache = model.begin(rows, which, past)
    widths = torch.tensor([len(r.ids) for r in rows], device=logits.device)
    width = max(len(r.ids) for r in rows)
    places = torch.arange(width, device=logits.device).expand(len(rows), -1)
    # Keys: the beginning, the prompts with padding on the right, then what was written.
    known = torch.cat([torch.ones((len(rows), begun), dtype=torch.bool, device=logits.device), places < widths[:, None]], dim=-1)
    positions = torch.cat([torch.arange(begun, device=logits.device).expand(len(rows), -1), begun + places], dim=-1)
    now = begun + widths
    with torch.inference_mode(), model.use(which) as network:
        for step in range(most):
            chosen = logits.argmax(-1)
            stay = [
                i for i, (row, t) in enumerate(zip(left, chosen.tolist(), strict=True)) if not _ends(model, answers[row], t, stops)
            ]
            if not stay or step == most - 1:
                break
            if len(stay) < len(left):
                index = torch.tensor(stay, device=logits.device)
                cache.batch_select_indices(index)
                chosen, known, positions, now = chosen[index], known[index], positions[index], now[index]
                left = [left[i] for i in stay]
            known = torch.cat([known, known.new_ones((len(left), 1))], dim=-1)
            positions = torch.cat([positions, now[:, None]], dim=-1)
            mask = masks(known[:, None], (now[:, None] - positions)[:, None], model.way.windows, model.activations)
            with model.only(torch.ones((len(left), 1), dtype=torch.bool, device=logits.device)):
                logits = network(
                    input_ids=chosen[:, None],
                    attention_mask=mask,
                    position_ids=now[:, None],
                    past_key_values=cache,
                    use_cache=True,
                ).logits[0]
            now = now + 1
    return answers


def _plainly(
    model: Resident, prompts: Sequence[Sequence[int]], which: Literal["base", "adapter"], most: int, stops: Sequence[str]
) -> list[list[int]]:
    """Continue prompts of equal length."""
    import torch

    ids, mask = model.padded(prompts)
    answers: list[list[int]] = [[] for _ in prompts]
    unfinished = set(range(len(prompts)))
    kept: dict[str, object] = {}
    with torch.inference_mode(), model.use(which) as network:
        for step in range(most):
            last = torch.zeros(ids.shape, dtype=torch.bool, device=ids.device)
            last[:, -1] = True
            with model.only(last):
                out = network(input_ids=ids, attention_mask=mask, use_cache=True, **kept)
            # The state of older recurrent models has another name and another protocol: they read everything again.
            name = "past_key_values" if getattr(out, "past_key_values", None) is not None else None
            chosen = out.logits[0].argmax(-1)
            unfinished -= {r for r in sorted(unfinished) if _ends(model, answers[r], int(chosen[r]), stops)}
            if not unfinished or step == most - 1:
                break
            mask = torch.cat([mask, mask.new_ones((len(prompts), 1))], dim=-1)
            if name is None:
                ids = torch.cat([ids, chosen[:, None]], dim=-1)
            else:
                kept, ids = {name: getattr(out, name)}, chosen[:, None]
    return answers
