"""Test statistics of paired scores: Tango's score test, McNemar, sign flips, Holm, and what an undecided test still needs.

Read by ``paired`` and ``gate``, which make verdicts of them.

Source:
    Tango, Statistics in Medicine 17 (1998), 891–908. McNemar, Psychometrika 12 (1947), 153–157. Holm, Scandinavian
    Journal of Statistics 6 (1979), 65–70. Miller, Adding Error Bars to Evals (arXiv 2411.00640), section 2.2 (clusters).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from evaluators._gate.distributions import binomial_upper_tail, bisect, normal_quantile, student_quantile

ALPHA, LEVEL, POWER = 0.05, 0.95, 0.8
_DRAWS = 10_000
#: Draws of signs made at once; bounds memory at this times the clusters.
_AT_ONCE = 1_000


def tango(lost: int, gained: int, n: int, delta: float) -> float:
    """Return Tango's score statistic for the hypothesis that the share lost minus the share gained is ``delta``.

    Args:
        lost: Pairs that turned wrong.
        gained: Pairs that turned right.
        n: All pairs.
        delta: In (-1, 1).

    Returns:
        A standard normal value if the hypothesis holds; negative if less was lost.

    Source:
        Tango (1998), equations 8 to 11.
    """
    if delta < 0:
        return -tango(gained, lost, n, -delta)
    a = 2 * n
    b = -lost - gained + (2 * n - lost + gained) * delta
    c = -gained * delta * (1 - delta)
    q = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (2 * q + delta * (1 - delta))
    above = lost - gained - n * delta
    return 0.0 if above == 0 else above / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, above)


def tango_interval(
    lost: int, gained: int, n: int, effect: float = 1.0, degrees: float | None = None, level: float = LEVEL
) -> tuple[float, float]:
    """Return the interval of the accuracy difference, adapter minus base.

    Args:
        lost: Pairs that turned wrong.
        gained: Pairs that turned right.
        n: All pairs.
        effect: Design effect of clusters, at least 1.
        degrees: Degrees of freedom where clusters are few; None: the normal quantile.
        level: Coverage.

    Returns:
        Bounds in [-1, 1].
    """
    p = 0.5 + level / 2
    z = (normal_quantile(p) if degrees is None else student_quantile(p, degrees)) * math.sqrt(effect)
    edge = 1 - 1e-12
    # The statistic falls as the hypothesized loss rises.
    low = bisect(lambda loss: z - tango(lost, gained, n, loss), -edge, edge)
    high = bisect(lambda loss: -z - tango(lost, gained, n, loss), -edge, edge)
    return max(-1.0, -high), min(1.0, -low)


def mcnemar(lost: int, gained: int) -> float:
    """Return the exact one-sided p of at least this many losses among the flips, if either way was equally likely."""
    return binomial_upper_tail(lost, lost + gained, 0.5)


def sign_flip(sums: Sequence[float], seed: int) -> float:
    """Return the one-sided p of so low a total, if each cluster's sum could as well have the other sign.

    Args:
        sums: Sum of differences of each cluster.
        seed: Of the 10,000 draws.
    """
    moved = np.asarray([s for s in sums if s], dtype=np.float64)
    if not moved.size:
        return 1.0
    # Sorted, so that the order of clusters does not matter; the observed signs count as one draw more.
    moved, draw, hits = np.sort(moved), np.random.default_rng(seed), 0
    for _ in range(_DRAWS // _AT_ONCE):
        signs = draw.integers(0, 2, size=(_AT_ONCE, moved.size)) * 2.0 - 1.0
        hits += int((signs @ moved <= moved.sum() + 1e-9).sum())
    return (hits + 1) / (_DRAWS + 1)


def holm(p_values: Sequence[float], alpha: float = ALPHA) -> list[bool]:
    """Return which hypotheses are rejected when all of them together may err with probability ``alpha``."""
    rejected = [False] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[index] > alpha / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected


def needed(flips: float, margin: float, *, alpha: float = ALPHA, effect: float = 1.0, loss: float = 0.0) -> int | None:
    """Return how many items show with probability 0.8 that less than the margin is lost, if ``loss`` is the true loss.

    Args:
        flips: Share of items whose score changed, in [0, 1].
        margin: In (0, 1).
        alpha: Level of the test.
        effect: Design effect of clusters, at least 1.
        loss: True share lost minus share gained; 0: nothing is lost.

    Returns:
        Never fewer than Tango's test needs without any flip; None if the margin or more is lost, which no number of items
        turns into "retained".
    """
    if loss >= margin:
        return None
    z = normal_quantile(1 - alpha)
    spread = max(0.0, flips - loss * loss)
    usual = (z + normal_quantile(POWER)) ** 2 * spread / (margin - loss) ** 2
    return math.ceil(effect * max(usual, z * z * (1 - margin) / margin))


def mean_interval(values: Sequence[float], groups: Sequence[Hashable] | None = None) -> tuple[float, float, float]:
    """Return mean and 0.95 interval of values, by Student; the interval of a single value or cluster is unbounded.

    Args:
        values: At least one.
        groups: Cluster of each value; None: every value is its own.
    """
    n = len(values)
    mean = sum(values) / n
    sizes, sums = clustered(values, range(n) if groups is None else groups)
    degrees = effective(sizes) - 1
    if len(sizes) < 2 or degrees <= 0:
        return mean, -math.inf, math.inf
    reach = student_quantile(0.5 + LEVEL / 2, degrees) * clustered_error(sizes, sums)
    return mean, mean - reach, mean + reach


def clustered(values: Sequence[float], groups: Sequence[Hashable]) -> tuple[list[int], list[float]]:
    """Return size and sum of each cluster, in order of first appearance.

    Args:
        values: One for each item.
        groups: Cluster of each item.
    """
    sizes: dict[Hashable, int] = {}
    sums: dict[Hashable, float] = {}
    for value, group in zip(values, groups, strict=True):
        sizes[group] = sizes.get(group, 0) + 1
        sums[group] = sums.get(group, 0.0) + value
    return list(sizes.values()), list(sums.values())


def clustered_error(sizes: Sequence[int], sums: Sequence[float]) -> float:
    """Return the standard error of the mean over items that come in clusters.

    Args:
        sizes: Items of each cluster.
        sums: Sum of values of each cluster.
    """
    n, groups = sum(sizes), len(sizes)
    mean = sum(sums) / n
    spread = sum((s - size * mean) ** 2 for s, size in zip(sums, sizes, strict=True))
    return math.sqrt(groups / max(1, groups - 1) * spread) / n


def effective(sizes: Sequence[int]) -> float:
    """Return how many clusters of one size would tell as much: their number if all are alike, fewer if one outweighs the rest.

    Args:
        sizes: Items of each cluster.

    Source:
        Kish, Survey Sampling (1965), section 11.7: n² / Σ nᵍ².
    """
    return sum(sizes) ** 2 / sum(size * size for size in sizes)


def design_effect(sizes: Sequence[int], sums: Sequence[float], squares: float) -> float:
    """Return how much clusters widen the variance of the mean; at least 1.

    Args:
        sizes: Items of each cluster.
        sums: Sum of values of each cluster.
        squares: Sum of the squared values of all items.
    """
    n, total = sum(sizes), sum(sums)
    plain = squares - total * total / n
    return max(1.0, clustered_error(sizes, sums) ** 2 / (plain / n / n)) if plain > 1e-12 else 1.0
