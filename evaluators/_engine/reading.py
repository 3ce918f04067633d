"""Runs the batches of a plan, keeps the attention cache of the beginning they share, and reads the numbers. Used by ``lm``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluators._engine.planner import Batch, Mark
from evaluators._model.attention import Past, Row, length_of, straight
from evaluators._model.resident import Resident, Which
from governance.errors import SubjectError

if TYPE_CHECKING:
    import torch

#: Rows of logits that are turned into float32 at a time.
_CHUNK = 128


class Reader:
    """One of the two models, and the beginning it read last.

    Args:
        model: The resident model.
        which: Base or adapter.
    """

    def __init__(self, model: Resident, which: Which) -> None:
        self._model, self._which = model, which
        self._trunk: tuple[tuple[int, ...], ...] = ()
        self._past: Past | None = None

    def read(self, batch: Batch) -> list[tuple[Mark, float, bool]]:
        """Run one batch.

        Args:
            batch: Of a plan; any order gives the same numbers.

        Returns:
            For each mark the natural log-probability of its token, and whether no token was more likely.

        Raises:
            SubjectError: A single row does not fit into memory, or the model answers with NaN.
        """
        past = self._reach(batch.trunk)
        return self._run(batch.rows, batch.marks, past, batch)

    def _run(
        self, rows: tuple[Row, ...], marks: tuple[tuple[Mark, ...], ...], past: Past | None, batch: Batch
    ) -> list[tuple[Mark, float, bool]]:
        places = [sorted({m.at for m in wanted}) for wanted in marks]
        try:
            if batch.plain:
                logits = self._model.plain_logits([r.ids for r in rows], places, self._which)
            else:
                logits, grown = self._model.tree_logits(rows, places, self._which, past)
                if len(batch.rows) == 1 and len(rows[0].segments) == 1:
                    self._trunk, self._past = (*batch.trunk, rows[0].ids), grown
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if len(rows) == 1:
                raise SubjectError("a single question does not fit into memory", hint="use a device with more memory") from error
            self._model.halvings += 1
            half = len(rows) // 2
            return self._run(rows[:half], marks[:half], past, batch) + self._run(rows[half:], marks[half:], past, batch)
        return _gather(logits, places, marks)

    def _reach(self, trunk: tuple[tuple[int, ...], ...]) -> Past | None:
        """Return the cache of a beginning; piece by piece, so that it does not depend on what was read before."""
        shared = 0
        while shared < min(len(trunk), len(self._trunk)) and trunk[shared] == self._trunk[shared]:
            shared += 1
        length = sum(map(len, trunk[:shared]))
        past = [(k[..., :length, :], v[..., :length, :]) for k, v in self._past] if self._past and length else None
        for piece in trunk[shared:]:
            row = straight(piece, length_of(past))
            _, past = self._model.tree_logits([row], [[len(piece) - 1]], self._which, past)
        self._trunk, self._past = trunk, past
        return past


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out; the processor's allocator has no class of its own for it."""
    import torch

    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def _gather(logits: torch.Tensor, places: list[list[int]], marks: tuple[tuple[Mark, ...], ...]) -> list[tuple[Mark, float, bool]]:
    """Read marks from logits of shape (places of all rows, vocabulary)."""
    import torch

    wanted: list[Mark] = []
    at: list[int] = []
    first = 0
    for kept, row in zip(places, marks, strict=True):
        index = {p: first + i for i, p in enumerate(kept)}
        at.extend(index[m.at] for m in row)
        wanted.extend(row)
        first += len(kept)
    with torch.inference_mode():
        whole = torch.cat([c.float().logsumexp(-1) for c in logits.split(_CHUNK)]).double()
        rows, tokens = torch.tensor(at, device=logits.device), torch.tensor([m.token for m in wanted], device=logits.device)
        likeliest = logits.argmax(-1)[rows] == tokens
        values = logits[rows, tokens].double() - whole[rows]
    return list(zip(wanted, values.tolist(), likeliest.tolist(), strict=True))
