"""Evidence that may be looked at after any item: a bet on each item, fixed before it is seen.

Whoever bets against a true hypothesis gains no wealth on average, so wealth of 1/α is reached with probability α at most,
however often one looks. Two bettors play against "the margin or more is lost" and "less than the margin is lost", a third
one against "nothing is lost". Read by ``gate``.

Source:
    Waudby-Smith and Ramdas, Estimating Means of Bounded Random Variables by Betting, Journal of the Royal Statistical
    Society B 86 (2024), 1–27, section 4; Ville, Étude critique de la notion de collectif (1939).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluators._gate.distributions import bisect

#: Largest stake; no bet can lose everything.
_MOST = 0.5
#: Weight of the first guess, that nothing changes, in items; and of the first guess of the spread.
_PRIOR_ITEMS, _PRIOR_SPREAD = 10, 0.08
#: Halvings of an interval's bounds: to a thousandth of a point.
_HALVINGS = 17


class Bettor:
    """The wealth of one bettor against "the mean is at most, or at least, ``-margin``".

    One observation is one cluster, weighted by its size: the sum of (difference + margin) over its items, divided by the size
    of the largest cluster of the family, which is known before anything is asked. Its expectation is at most zero exactly if
    the mean over items is at most ``-margin``, whatever the sizes are; a mean of cluster means would be another quantity.

    Args:
        margin: The hypothesis; 0: nothing is lost.
        up: Whether the bet is on a mean above ``-margin``.
        largest: Items of the largest cluster.
    """

    def __init__(self, margin: float, *, up: bool, largest: int = 1) -> None:
        self._margin, self._sign, self._largest = margin, 1.0 if up else -1.0, largest
        self._seen, self._weight, self._total, self._spread = 0, 0.0, 0.0, _PRIOR_SPREAD
        self.wealth = self.peak = 0.0

    def observe(self, total: float, size: int = 1) -> None:
        """Take the next cluster.

        Args:
            total: Sum of its differences, adapter minus base, each in [-1, 1].
            size: Its items.
        """
        weight = size / self._largest
        change = total / self._largest
        guess = self._total / (self._seen + _PRIOR_ITEMS)
        typical = self._weight / self._seen if self._seen else weight
        edge = guess + self._margin * typical
        stake = min(_MOST, max(0.0, self._sign * edge / (self._spread / (self._seen + 1) + edge * edge)))
        self.wealth += math.log(max(1e-300, 1 + self._sign * stake * (change + self._margin * weight)))
        self.peak = max(self.peak, self.wealth)
        self._seen, self._weight, self._total = self._seen + 1, self._weight + weight, self._total + change
        self._spread += (change - self._total / (self._seen + _PRIOR_ITEMS)) ** 2

    @property
    def log10(self) -> float:
        """The highest wealth so far, in powers of ten; 0 is none."""
        return self.peak / math.log(10)


def betting_interval(clusters: Sequence[tuple[float, int]], largest: int, level: float) -> tuple[float, float]:
    """Return an interval of the mean that holds at every moment at once, so also where one chose to stop.

    Args:
        clusters: Sum of differences and items of each cluster, in the order they were asked.
        largest: Items of the largest cluster.
        level: Coverage.

    Returns:
        Bounds in [-1, 1]: the means no bettor has grown rich against.
    """
    rich = math.log(2 / (1 - level))

    def wealth(mean: float, *, up: bool) -> float:
        bettor = Bettor(-mean, up=up, largest=largest)
        for total, size in clusters:
            bettor.observe(total, size)
        return bettor.peak

    edge = 0.999
    low = bisect(lambda m: rich - wealth(m, up=True), -edge, edge, steps=_HALVINGS)
    high = bisect(lambda m: wealth(m, up=False) - rich, -edge, edge, steps=_HALVINGS)
    return max(-1.0, low), min(1.0, high)
