"""Passes through the resident model that share the beginning of their rows, and answers that are kept once made.

All prompts of one chat template begin alike; that part runs once and its attention cache serves every row of a batch.
Read by ``search``, ``inversion`` and ``confirm``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from evaluators._backdoor.sketch import KEPT, Sketch
from evaluators._model.resident import Resident, Which

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache, PreTrainedModel

#: Rows of one batch: more fill the processor no better and make the wait between two signs of life long.
_ROWS = 48


def shared_beginning(rows: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all rows begin with in common; one token of the shortest row is always left."""
    first, last = min(map(tuple, rows)), max(map(tuple, rows))
    most = min(len(r) for r in rows) - 1
    return next((i for i in range(most) if first[i] != last[i]), most)


class Passes:
    """One of the two models behind a shared beginning.

    Args:
        model: The resident model.
        which: Base or adapter.
    """

    def __init__(self, model: Resident, which: Which) -> None:
        self._model, self._which = model, which
        self._begun: tuple[tuple[int, ...], DynamicCache] | None = None

    def sketches(self, rows: Sequence[Sequence[int]]) -> Iterator[tuple[int, Sketch]]:
        """Yield row number and sketch of the token after each row, batch by batch.

        Args:
            rows: Token ids, none empty.
        """
        import torch

        for batch in self._batches(rows, 0):
            logits = self._ends([rows[i] for i in batch])
            found = torch.softmax(logits.float(), dim=-1)
            top = found.topk(min(KEPT, found.shape[-1]), dim=-1)
            for index, ids, values in zip(batch, top.indices.tolist(), top.values.tolist(), strict=True):
                yield index, Sketch({t: float(f"{v:.6g}") for t, v in zip(ids, values, strict=True)}, int(found.shape[-1]))

    def answers(self, rows: Sequence[Sequence[int]], most: int) -> Iterator[tuple[int, str]]:
        """Yield row number and greedy answer of each row, batch by batch.

        Args:
            rows: Token ids, none empty.
            most: Longest answer in tokens.
        """
        for batch in self._batches(rows, most):
            for index, ids in zip(batch, self._decode([rows[i] for i in batch], most), strict=True):
                yield index, self._model.decode(ids)

    def _batches(self, rows: Sequence[Sequence[int]], more: int) -> Iterator[list[int]]:
        begin = shared_beginning(rows) if rows else 0
        for batch in self._model.batches([len(r) - begin + more for r in rows]):
            for start in range(0, len(batch), _ROWS):
                yield batch[start : start + _ROWS]

    def _ends(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return the logits after the last token of each row, shape (rows, vocabulary)."""
        import torch

        with torch.inference_mode(), self._model.use(self._which) as model:
            out, _, _ = self._start(model, rows)
            return out

    def _start(self, model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, DynamicCache, torch.Tensor]:
        """Run rows to their ends. Returns last logits, the cache, and the attention mask so far."""
        import torch

        begin = shared_beginning(rows)
        cache = self._beginning(model, rows[0][:begin])
        if cache is not None:
            cache.batch_repeat_interleave(len(rows))
        width = max(len(r) for r in rows) - begin
        where, pad = self._model.device.kind, int(self._model.tokenizer.pad_token_id)
        short = [width - (len(r) - begin) for r in rows]
        ids = torch.tensor([[pad] * s + list(r[begin:]) for s, r in zip(short, rows, strict=True)], device=where)
        mask = torch.tensor([[1] * begin + [0] * s + [1] * (width - s) for s in short], device=where)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, begin:]
        logits, cache = self._step(model, ids, mask, positions, cache)
        return logits, cache, mask

    def _step(
        self, model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache | None
    ) -> tuple[torch.Tensor, DynamicCache]:
        """Run one forward pass. Returns the logits of the last column, shape (rows, vocabulary), and the cache."""
        import torch

        last = torch.zeros(ids.shape, dtype=torch.bool, device=ids.device)
        last[:, -1] = True
        # Without this the output embeddings are copied once for each row of a batch, which costs more than the pass.
        with self._model.only(last):
            out = model(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
        return out.logits[0], out.past_key_values

    def _beginning(self, model: PreTrainedModel, ids: Sequence[int]) -> DynamicCache | None:
        """Return a copy of the cache of the shared beginning; the last one made is remembered."""
        import torch

        if not ids:
            return None
        if self._begun is None or self._begun[0] != tuple(ids):
            out = model(input_ids=torch.tensor([list(ids)], device=self._model.device.kind), use_cache=True, logits_to_keep=1)
            self._begun = tuple(ids), out.past_key_values
        return copy.deepcopy(self._begun[1])

    def _decode(self, rows: Sequence[Sequence[int]], most: int) -> list[list[int]]:
        import torch

        answers: list[list[int]] = [[] for _ in rows]
        open_ = set(range(len(rows)))
        with torch.inference_mode(), self._model.use(self._which) as model:
            logits, cache, mask = self._start(model, rows)
            for step in range(most):
                chosen = logits.argmax(-1)
                for row in sorted(open_):
                    token = int(chosen[row])
                    if token in self._model.eos:
                        open_.discard(row)
                    else:
                        answers[row].append(token)
                if not open_ or step == most - 1:
                    break
                mask = torch.cat([mask, mask.new_ones((len(rows), 1))], dim=-1)
                positions = mask.sum(-1, keepdim=True) - 1
                logits, cache = self._step(model, chosen[:, None], mask, positions, cache)
        return answers
