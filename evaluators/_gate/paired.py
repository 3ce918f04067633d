"""Base against adapter on the same items, all of them asked: is the skill retained, degraded, or is that open?

Retained is non-inferiority by Tango's score test at a margin handed down; degraded is the exact McNemar test, corrected
by Holm over the families that were asked. Read by ``gate``, which may also stop before the last item.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evaluators._gate.distributions import normal_quantile, student_cdf, student_quantile
from evaluators._gate.scores import (
    ALPHA,
    LEVEL,
    clustered,
    clustered_error,
    design_effect,
    effective,
    holm,
    mcnemar,
    needed,
    sign_flip,
    tango,
    tango_interval,
)

#: With fewer flips than this, clusters are counted instead of items, and changes of a score instead of their sizes.
_FEW_FLIPS = 10
#: Fewer clusters than this say too little about other clusters.
LEAST_CLUSTERS = 20

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
        lost: Items the base scored higher on; for scores of 0 and 1, those that turned wrong.
        gained: The other way round.
        low: Lower bound of the difference, adapter minus base.
        high: Upper bound.
        method: How the interval was made.
        statistic: Test statistic of "lost by the margin or more"; small means retained.
        retained: Whether that is rejected.
        p_degraded: One-sided p of "nothing lost", before Holm.
        needed: Items that would decide it with probability 0.8; None if the loss seen is the margin or more.
        margin: What it was tested at.
        effect: Design effect of clusters; 1 without.
        too_few: Why it cannot be retained whatever the scores are; empty otherwise.
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
    effect: float = 1.0
    too_few: str = ""

    @property
    def difference(self) -> float:
        """Mean difference, adapter minus base."""
        return self.adapter - self.base


@dataclass(frozen=True)
class _Tested:
    """Interval, test statistic of the margin, and whether it is small enough."""

    method: str
    low: float
    high: float
    statistic: float
    retained: bool


def compare(pairs: Sequence[Pair], margin: float, seed: int, alpha: float = ALPHA) -> Comparison:
    """Compare base and adapter on the items of one family.

    Args:
        pairs: At least one item.
        margin: Largest acceptable loss, in (0, 1).
        seed: For the permutation test of clustered items.
        alpha: Level of the test of non-inferiority.

    Returns:
        Everything but the verdict, which depends on the other families too.
    """
    n, changes = len(pairs), [p.difference for p in pairs]
    labels = [("#", i) if p.group is None else ("=", p.group) for i, p in enumerate(pairs)]
    sizes, sums = clustered(changes, labels)
    together = len(sizes) < n
    lost, gained, mean = sum(c < 0 for c in changes), sum(c > 0 for c in changes), sum(changes) / n
    binary = all(v in (0.0, 1.0) for p in pairs for v in (p.base, p.adapter))
    effect = design_effect(sizes, sums, sum(c * c for c in changes)) if together else 1.0
    if together and lost + gained < _FEW_FLIPS:
        down, up = sum(s < 0 for s in sums), sum(s > 0 for s in sums) if binary else 0
        tested = _tango("Tango over clusters", down, up, len(sizes), margin, alpha)
    elif binary:
        degrees = max(1.0, effective(sizes) - 1) if together else None
        method = "Tango, clustered" if together else "Tango"
        tested = _tango(method, lost, gained, n, margin, alpha, effect, degrees)
    elif lost + gained < _FEW_FLIPS:
        # Student's test takes a spread of nearly nothing for certainty; a loss counted whole and no gain errs on the other side.
        tested = _tango("Tango, every loss counted whole", lost, 0, n, margin, alpha)
    else:
        tested = _student(sizes, sums, margin, alpha, "Student, clustered" if together else "Student, paired")
    too_few = ""
    if together and effective(sizes) < LEAST_CLUSTERS:
        weight = f"which weigh as much as {effective(sizes):.0f} of one size"
        too_few = f"its items come from {len(sizes)} texts, {weight}; {LEAST_CLUSTERS} are needed"
    return Comparison(
        n=n,
        clusters=len(sizes),
        base=sum(x.base for x in pairs) / n,
        adapter=sum(x.adapter for x in pairs) / n,
        lost=lost,
        gained=gained,
        low=min(tested.low, mean),
        high=max(tested.high, mean),
        method=tested.method,
        statistic=tested.statistic,
        # Counted by cluster, or with few degrees of freedom, a test may pass beside an estimate that does not.
        retained=tested.retained and mean > -margin and not too_few,
        p_degraded=sign_flip(sums, seed) if together or not binary else mcnemar(lost, gained),
        needed=_needed(sum(c * c for c in changes) / n, mean, n, margin, alpha, effect),
        margin=margin,
        effect=effect,
        too_few=too_few,
    )


def verdicts(comparisons: Sequence[Comparison], alpha: float = ALPHA) -> list[Outcome]:
    """Return one of three verdicts for each family; only "degraded" is corrected for their number.

    All families retained is an intersection of claims, each tested at ``alpha``; degraded is one of several possible claims.

    Args:
        comparisons: All families of one evaluator.
        alpha: Level of the claims of damage together.
    """
    significant = holm([c.p_degraded for c in comparisons], alpha)
    return [verdict(c, lost=lost) for c, lost in zip(comparisons, significant, strict=True)]


def verdict(comparison: Comparison, *, lost: bool) -> Outcome:
    """Return the verdict of one family.

    Args:
        comparison: Its numbers.
        lost: Whether "nothing lost" is rejected for it, after Holm.
    """
    if comparison.retained:
        return "retained"
    return "degraded" if lost and comparison.difference <= -comparison.margin else "inconclusive"


def _tango(
    method: str, lost: int, gained: int, n: int, margin: float, alpha: float, effect: float = 1.0, degrees: float | None = None
) -> _Tested:
    statistic = tango(lost, gained, n, margin) / math.sqrt(effect)
    critical = normal_quantile(1 - alpha) if degrees is None else student_quantile(1 - alpha, degrees)
    low, high = tango_interval(lost, gained, n, effect, degrees)
    return _Tested(method, low, high, statistic, statistic < -critical)


def _student(sizes: Sequence[int], sums: Sequence[float], margin: float, alpha: float, method: str) -> _Tested:
    mean, error = sum(sums) / sum(sizes), clustered_error(sizes, sums)
    degrees = effective(sizes) - 1
    if len(sizes) < 2 or degrees <= 0:
        return _Tested(method, -1.0, 1.0, 0.0, retained=False)
    reach = student_quantile(0.5 + LEVEL / 2, degrees) * error
    statistic = -(mean + margin) / error if error > 0 else math.copysign(1e9, -(mean + margin))
    return _Tested(method, max(-1.0, mean - reach), min(1.0, mean + reach), statistic, student_cdf(statistic, degrees) < alpha)


def _needed(flips: float, mean: float, n: int, margin: float, alpha: float, effect: float) -> int | None:
    """Return the items needed if nothing was lost; where so many were asked already, if the loss seen is the true one."""
    wanted = needed(flips, margin, alpha=alpha, effect=effect)
    return wanted if wanted is None or wanted > n else needed(flips, margin, alpha=alpha, effect=effect, loss=max(0.0, -mean))
