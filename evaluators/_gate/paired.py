"""Base against adapter on the same items: is the skill retained, degraded, or is that open?

Retained is non-inferiority by Tango's score test at a margin handed down; degraded is the exact McNemar test, corrected
by Holm over the families that were asked. Read by ``evaluators.retention`` and ``evaluators.domain_skill``.

Source:
    Tango, Statistics in Medicine 17 (1998), 891–908. McNemar, Psychometrika 12 (1947), 153–157. Holm, Scandinavian
    Journal of Statistics 6 (1979), 65–70. Miller, Adding Error Bars to Evals (arXiv 2411.00640), section 2.2 (clusters).
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evaluators._gate.distributions import binomial_upper_tail, bisect, normal_quantile, student_cdf, student_quantile

ALPHA, LEVEL, POWER = 0.05, 0.95, 0.8
#: With fewer flips than this, clusters are counted instead of items.
_FEW_FLIPS = 10
_DRAWS = 10_000

Outcome = Literal["retained", "degraded", "inconclusive"]


@dataclass(frozen=True)
class Pair:
    """One item: its score under base and adapter, in [0, 1], and the cluster it belongs to."""

    base: float
    adapter: float
    group: str | None = None

    @property
    def difference(self) -> float:
        """Adapter minus base."""
        return self.adapter - self.base


@dataclass(frozen=True)
class Comparison:
    """What one family of items says.

    Attributes:
        n: Items.
        clusters: Groups of items with shared text; n if there are none.
        base: Mean score of the base.
        adapter: Mean score of the adapter.
        lost: Items the base had right and the adapter has not.
        gained: The other way round.
        low: Lower bound of the difference, adapter minus base.
        high: Upper bound.
        method: How the interval was made.
        statistic: Test statistic of "lost by the margin or more"; small means retained.
        retained: Whether that is rejected.
        p_degraded: One-sided p of "nothing lost", before Holm.
        needed: Items that would decide it with probability 0.8 if nothing was lost; None without flips.
        margin: What it was tested at.
    """

    n: int
    clusters: int
    base: float
    adapter: float
    lost: int
    gained: int
    low: float
    high: float
    method: str
    statistic: float
    retained: bool
    p_degraded: float
    needed: int | None
    margin: float

    @property
    def difference(self) -> float:
        """Mean difference, adapter minus base."""
        return self.adapter - self.base


def compare(pairs: Sequence[Pair], margin: float, seed: int) -> Comparison:
    """Compare base and adapter on the items of one family.

    Args:
        pairs: At least one item.
        margin: Largest acceptable loss, in (0, 1).
        seed: For the permutation test of clustered items.

    Returns:
        Everything but the verdict, which depends on the other families too.
    """
    sums = _clusters(pairs)
    clustered = len(sums) < len(pairs)
    binary = all(v in (0.0, 1.0) for p in pairs for v in (p.base, p.adapter))
    n = len(pairs)
    lost = sum(p.difference < 0 for p in pairs)
    gained = sum(p.difference > 0 for p in pairs)
    mean = sum(p.difference for p in pairs) / n
    if not binary:
        low, high, statistic, retained = _by_student(pairs, sums, margin)
        method = "Student, clustered" if clustered else "Student, paired"
    elif clustered and lost + gained < _FEW_FLIPS:
        down, up = sum(s < 0 for s in sums), sum(s > 0 for s in sums)
        low, high = tango_interval(down, up, len(sums))
        statistic = tango(down, up, len(sums), margin)
        retained = statistic < -normal_quantile(1 - ALPHA)
        method = "Tango over clusters"
    else:
        effect = _design_effect(pairs, sums) if clustered else 1.0
        statistic = tango(lost, gained, n, margin) / math.sqrt(effect)
        critical = student_quantile(1 - ALPHA, len(sums) - 1) if clustered and len(sums) > 1 else normal_quantile(1 - ALPHA)
        low, high = tango_interval(lost, gained, n, effect)
        retained = statistic < -critical
        method = "Tango, clustered" if clustered else "Tango"
    p = sign_flip(sums, seed) if clustered or not binary else mcnemar(lost, gained)
    return Comparison(
        n=n,
        clusters=len(sums),
        base=sum(x.base for x in pairs) / n,
        adapter=sum(x.adapter for x in pairs) / n,
        lost=lost,
        gained=gained,
        low=min(low, mean),
        high=max(high, mean),
        method=method,
        statistic=statistic,
        retained=retained,
        p_degraded=p,
        needed=needed((lost + gained) / n, margin),
        margin=margin,
    )


def verdicts(comparisons: Sequence[Comparison]) -> list[Outcome]:
    """Return one of three verdicts for each family; only "degraded" is corrected for their number.

    Args:
        comparisons: All families of one evaluator.
    """
    significant = holm([c.p_degraded for c in comparisons])
    found: list[Outcome] = []
    for comparison, lost in zip(comparisons, significant, strict=True):
        if comparison.retained:
            found.append("retained")
        else:
            found.append("degraded" if lost and comparison.difference <= -comparison.margin else "inconclusive")
    return found


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


def tango_interval(lost: int, gained: int, n: int, effect: float = 1.0) -> tuple[float, float]:
    """Return the interval of the accuracy difference, adapter minus base.

    Args:
        lost: Pairs that turned wrong.
        gained: Pairs that turned right.
        n: All pairs.
        effect: Design effect of clusters, at least 1.

    Returns:
        Bounds in [-1, 1] at level 0.95.
    """
    z = normal_quantile(0.5 + LEVEL / 2) * math.sqrt(effect)
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
        seed: Of the draws.
    """
    moved = [s for s in sums if s]
    total, draw = sum(moved), random.Random(seed)  # noqa: S311 - a permutation test, not a secret
    hits = sum(sum(s if draw.random() < 0.5 else -s for s in moved) <= total + 1e-12 for _ in range(_DRAWS)) if moved else _DRAWS
    return (hits + 1) / (_DRAWS + 1)


def holm(p_values: Sequence[float], alpha: float = ALPHA) -> list[bool]:
    """Return which hypotheses are rejected when all of them together may err with probability ``alpha``."""
    rejected = [False] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[index] > alpha / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected


def needed(flips: float, margin: float) -> int | None:
    """Return how many items tell "nothing lost" from "the margin lost" with probability 0.8.

    Args:
        flips: Share of items whose score changed, in [0, 1].
        margin: In (0, 1).

    Returns:
        None if nothing flipped: the share that would is unknown.
    """
    z = normal_quantile(1 - ALPHA) + normal_quantile(POWER)
    return math.ceil(z * z * flips / (margin * margin)) if flips else None


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return mean and 0.95 interval of values, by Student; the interval of a single value is unbounded."""
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return mean, -math.inf, math.inf
    error = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
    reach = student_quantile(0.5 + LEVEL / 2, n - 1) * error
    return mean, mean - reach, mean + reach


def clustered_error(pairs: Sequence[Pair], sums: Sequence[float]) -> float:
    """Return the standard error of the mean difference when items come in clusters.

    Args:
        pairs: Items.
        sums: Sum of differences of each cluster, in order of first appearance.
    """
    mean = sum(p.difference for p in pairs) / len(pairs)
    sizes = list(_sizes(pairs))
    spread = sum((s - size * mean) ** 2 for s, size in zip(sums, sizes, strict=True))
    groups = len(sums)
    return math.sqrt(groups / max(1, groups - 1) * spread) / len(pairs)


def _design_effect(pairs: Sequence[Pair], sums: Sequence[float]) -> float:
    n = len(pairs)
    total, square = sum(p.difference for p in pairs), sum(p.difference**2 for p in pairs)
    plain = square - total * total / n
    return max(1.0, clustered_error(pairs, sums) ** 2 / (plain / n / n)) if plain > 0 else 1.0


def _by_student(pairs: Sequence[Pair], sums: Sequence[float], margin: float) -> tuple[float, float, float, bool]:
    mean, error = sum(p.difference for p in pairs) / len(pairs), clustered_error(pairs, sums)
    if len(sums) < 2:
        return -1.0, 1.0, 0.0, False
    degrees = len(sums) - 1
    reach = student_quantile(0.5 + LEVEL / 2, degrees) * error
    statistic = -(mean + margin) / error if error > 0 else math.copysign(1e9, -(mean + margin))
    return max(-1.0, mean - reach), min(1.0, mean + reach), statistic, student_cdf(statistic, degrees) < ALPHA


def _clusters(pairs: Sequence[Pair]) -> list[float]:
    sums: dict[str, float] = defaultdict(float)
    for index, pair in enumerate(pairs):
        sums[f"#{index}" if pair.group is None else f"={pair.group}"] += pair.difference
    return list(sums.values())


def _sizes(pairs: Sequence[Pair]) -> list[int]:
    sizes: dict[str, int] = defaultdict(int)
    for index, pair in enumerate(pairs):
        sizes[f"#{index}" if pair.group is None else f"={pair.group}"] += 1
    return list(sizes.values())
