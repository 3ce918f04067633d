"""Turns requests for log-likelihoods into as few rows and batches as possible; the same plan for base and adapter.

Equal requests are scored once. A continuation of one token needs no row of its own, and a row that begins another row is
served by the longer one, because a causal model's answers at a position depend on nothing after it. Used by ``lm``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluators._model.resident import Resident, Which


@dataclass(frozen=True)
class Span:
    """One request: how likely are ``ids[start:]`` after ``ids[:start]``.

    Attributes:
        ids: Token ids, context and continuation.
        start: Index of the first token that is scored; at least 1.
    """

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class Plan:
    """What is run for a list of spans.

    Attributes:
        rows: Token ids of each forward row.
        keep: Positions of each row whose distribution is read, ascending.
        row_of: Row that serves each span.
        batches: Indices of rows that run together.
    """

    rows: tuple[tuple[int, ...], ...]
    keep: tuple[tuple[int, ...], ...]
    row_of: tuple[int, ...]
    batches: tuple[tuple[int, ...], ...]

    @property
    def tokens(self) -> int:
        """Tokens that are encoded, without padding."""
        return sum(len(r) for r in self.rows)


def plan(spans: Sequence[Span], model: Resident) -> Plan:
    """Return rows and batches for the spans; depends on nothing else, so two models get the same plan.

    Args:
        spans: Requests, none longer than the model takes.
        model: Gives the token budget of a batch.
    """
    inputs = sorted({s.ids[:-1] for s in spans})
    rows: list[tuple[int, ...]] = []
    serves: dict[tuple[int, ...], int] = {}
    for index, row in enumerate(inputs):
        following = inputs[index + 1] if index + 1 < len(inputs) else ()
        if following[: len(row)] != row:
            rows.append(row)
        # A prefix is followed by the row that serves it, so its number is the one given next.
        serves[row] = len(rows) - (following[: len(row)] != row)
    keep: list[set[int]] = [set() for _ in rows]
    for span in spans:
        keep[serves[span.ids[:-1]]].update(range(span.start - 1, len(span.ids) - 1))
    return Plan(
        rows=tuple(rows),
        keep=tuple(tuple(sorted(k)) for k in keep),
        row_of=tuple(serves[s.ids[:-1]] for s in spans),
        batches=tuple(tuple(b) for b in model.batches([len(r) for r in rows])),
    )


def run_batch(
    asked: Plan, batch: Sequence[int], spans: Sequence[tuple[int, Span]], model: Resident, which: Which
) -> list[tuple[int, float, bool]]:
    """Run one batch and read the answers of its spans.

    Args:
        asked: The plan.
        batch: One of its batches.
        spans: Number and content of each span that a row of the batch serves.
        model: Runs it.
        which: Base or adapter.

    Returns:
        For each span its number, the sum of natural log-probabilities, and whether every token was the most likely one.
    """
    import torch

    out = dict(zip(batch, model.pass_over([asked.rows[r] for r in batch], [asked.keep[r] for r in batch], which), strict=True))
    likeliest = {r: t.argmax(-1) for r, t in out.items()}
    found = []
    for number, span in spans:
        row = asked.row_of[number]
        place = {position: i for i, position in enumerate(asked.keep[row])}
        at = torch.tensor([place[p] for p in range(span.start - 1, len(span.ids) - 1)], device=out[row].device)
        tokens = torch.tensor(span.ids[span.start :], device=out[row].device)
        total = float(out[row][at, tokens].double().sum())
        found.append((number, total, bool((likeliest[row][at] == tokens).all())))
    return found
