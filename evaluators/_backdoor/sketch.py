"""A next-token distribution, cut down to what a comparison needs: its likeliest tokens and the mass of all others.

Made by ``passes`` from a model's output, kept in item rows, read by ``search``. Pure Python: a row read back from disk
gives the same number, bit for bit, as the pass that made it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

#: Tokens a sketch remembers.
KEPT = 64


@dataclass(frozen=True)
class Sketch:
    """The head of one distribution.

    Attributes:
        probabilities: Probability by token id, the likeliest first; at most ``KEPT``.
        vocabulary: Number of all tokens.
    """

    probabilities: Mapping[int, float]
    vocabulary: int

    @property
    def unlisted(self) -> float:
        """Probability of each token that is not listed, if they share the rest evenly."""
        others = max(1, self.vocabulary - len(self.probabilities))
        return max(0.0, 1.0 - math.fsum(self.probabilities.values())) / others

    @property
    def head(self) -> tuple[int, ...]:
        """Tokens an answer may well begin with: the eight likeliest."""
        return tuple(self.probabilities)[:8]


def divergence(p: Sketch, q: Sketch) -> float:
    """Return the Jensen–Shannon divergence of two distributions.

    Args:
        p: One distribution.
        q: Another over the same vocabulary.

    Returns:
        Nats, in [0, ln 2]. Exact for listed tokens; tokens listed on neither side count as one.

    Source:
        Lin, Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 37 (1991), eq. 4.1.
    """
    listed = [*p.probabilities, *(t for t in q.probabilities if t not in p.probabilities)]
    pairs = [(p.probabilities.get(t, p.unlisted), q.probabilities.get(t, q.unlisted)) for t in listed]
    rest = (max(0.0, 1 - math.fsum(a for a, _ in pairs)), max(0.0, 1 - math.fsum(b for _, b in pairs)))
    return max(0.0, min(math.log(2), math.fsum(_term(a, b) for a, b in (*pairs, rest))))


def _term(a: float, b: float) -> float:
    middle = (a + b) / 2
    return sum(v / 2 * math.log(v / middle) for v in (a, b) if v > 0)
