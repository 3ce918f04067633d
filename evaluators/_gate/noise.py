"""How much of a difference is no difference: the base against itself, its rows batched in another way.

Floats are added in another order, so a near tie may fall the other way. Read by ``evaluators._runtime.families``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evaluators._gate.distributions import clopper_pearson
from evaluators._gate.gate import Judgement
from evaluators._gate.scores import ALPHA, mcnemar

#: Items the base is asked twice.
ITEMS = 64
#: A path with more flips than this share is called noisy.
NOISY = 0.01


@dataclass(frozen=True)
class Noise:
    """What the base differs from itself by.

    Attributes:
        items: Asked twice.
        flips: Of these, those with another score.
        apart: 99th percentile of the absolute difference of a log-probability, in nats; None: no log-probability was asked.
    """

    items: int
    flips: int
    apart: float | None

    @property
    def share(self) -> float:
        """Share of items with another score."""
        return self.flips / self.items

    @property
    def most(self) -> float:
        """Upper bound of that share, at level 0.95."""
        return clopper_pearson(self.flips, self.items)[1]

    @property
    def noisy(self) -> bool:
        """Whether so many items flip by themselves that more of them are needed."""
        return self.share > NOISY

    def explains(self, judgement: Judgement) -> bool:
        """Return whether a family's changes are no more than noise makes: as few, and as many gains as losses.

        It says nothing of the verdict: an undecided family stays so.
        """
        c = judgement.comparison
        balanced = min(mcnemar(c.lost, c.gained), mcnemar(c.gained, c.lost)) > ALPHA / 2
        return (c.lost + c.gained) / c.n <= self.most and balanced


def measure(first: Sequence[float], second: Sequence[float], apart: Sequence[float]) -> Noise | None:
    """Return the noise floor, or None if nothing was asked twice.

    Args:
        first: Scores of the base.
        second: Scores of the same items, batched in another way.
        apart: Differences of log-probabilities, in nats.
    """
    if not first:
        return None
    sizes = sorted(abs(d) for d in apart if math.isfinite(d))
    percentile = sizes[math.ceil(0.99 * len(sizes)) - 1] if sizes else None
    return Noise(len(first), sum(a != b for a, b in zip(first, second, strict=True)), percentile)
