"""The forgetting gate: families of paired items are watched as they come in, and asked no longer than it takes.

A family that is asked in several parts is looked at after each: two bettors (``sequential``) may decide it. If they do not,
Tango's score test and McNemar's test with Holm decide at the last item. Each way spends half of the level of 0.05, so that
both together err no more often than one test alone; where no early look is planned, the last tests have all of it.

Used by ``evaluators._runtime``, which asks; see docs/forgetting.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from evaluators._gate.paired import Comparison, Outcome, Pair, compare, verdict
from evaluators._gate.scores import ALPHA, LEVEL, holm
from evaluators._gate.sequential import Bettor, betting_interval

#: What the early looks may err, out of ``ALPHA``; the tests at the end have the rest.
EARLY = ALPHA / 2


@dataclass(frozen=True)
class Plan:
    """What is known of a family before anything is asked.

    Attributes:
        margin: Largest acceptable loss, in (0, 1).
        items: All items there are.
        largest: Items of the largest cluster.
        parts: How many times it will be looked at, the last time included.
    """

    margin: float
    items: int
    largest: int = 1
    parts: int = 1


@dataclass(frozen=True)
class Judgement:
    """What the gate says of one family.

    Attributes:
        comparison: Of the items that were asked; its interval holds at the moment it stopped.
        verdict: Retained, degraded or inconclusive.
        items: All items there are.
        stopped: Why no more items were asked.
        kept: Evidence that less than the margin is lost, log10 of the highest wealth; None: no early look was planned.
        worse: Evidence that the margin or more is lost.
        alpha: Level of the test at the last item.
        p_degraded: One-sided p of "nothing lost"; None where it was stopped before.
        rank: Place of that p among the families, 1 is the smallest; 0 where it was stopped before.
        small_loss: Retained, and yet something was lost for certain.
    """

    comparison: Comparison
    verdict: Outcome
    items: int
    stopped: str
    kept: float | None
    worse: float | None
    alpha: float
    p_degraded: float | None
    rank: int
    small_loss: bool


@dataclass
class _Watched:
    plan: Plan
    sequential: bool
    alpha: float
    pairs: list[Pair] = field(default_factory=list)
    clusters: list[tuple[float, int]] = field(default_factory=list)
    decided: Outcome | None = None

    def __post_init__(self) -> None:
        largest = self.plan.largest
        self.keeps = Bettor(self.plan.margin, up=True, largest=largest)
        self.worse = Bettor(self.plan.margin, up=False, largest=largest)
        self.any_loss = Bettor(0.0, up=False, largest=largest)


class Gate:
    """All families of one evaluator.

    Args:
        plans: By family.
        stop_early: Whether early looks are wanted; without them every family is asked in full.
        seed: For the permutation test of clustered items.
    """

    def __init__(self, plans: Mapping[str, Plan], *, stop_early: bool, seed: int) -> None:
        early = {name: stop_early and plan.parts > 1 for name, plan in plans.items()}
        self._families = {name: _Watched(p, early[name], ALPHA - EARLY if early[name] else ALPHA) for name, p in plans.items()}
        self._seed = seed

    def open(self, family: str) -> bool:
        """Return whether more items of this family are wanted."""
        return self.decided(family) is None

    def decided(self, family: str) -> Outcome | None:
        """Return the verdict of an early look; None as long as there is none, and for a family without a plan."""
        watched = self._families.get(family)
        return None if watched is None else watched.decided

    def observe(self, family: str, clusters: Sequence[Sequence[Pair]]) -> None:
        """Take the next part of a family.

        Args:
            family: One of the plans.
            clusters: Its clusters in the order of the family; items without shared text are their own.
        """
        watched = self._families[family]
        for cluster in clusters:
            watched.pairs.extend(cluster)
            watched.clusters.append((sum(p.difference for p in cluster), len(cluster)))
            if any(abs(p.difference) > 1 for p in cluster):
                watched.sequential = False  # bets are fair for scores in [0, 1] alone
            if watched.sequential and watched.decided is None:
                self._bet(watched)

    def judge(self) -> dict[str, Judgement]:
        """Return what is known of every family that has items, in the order of the plans."""
        asked = {name: w for name, w in self._families.items() if w.pairs}
        compared = {name: compare(w.pairs, w.plan.margin, self._seed, w.alpha) for name, w in asked.items()}
        # A family that was decided before takes no part in the tests at the end, and still counts among the claims.
        p_values = [c.p_degraded if asked[name].decided is None else 1.0 for name, c in compared.items()]
        p_values += [1.0] * (len(self._families) - len(p_values))
        level = min(w.alpha for w in self._families.values()) if self._families else ALPHA
        lost = dict(zip(compared, holm(p_values, level), strict=False))
        ranks = {name: 1 + sum(p < p_values[i] for p in p_values) for i, name in enumerate(compared)}
        return {name: self._judgement(w, compared[name], lost[name], ranks[name]) for name, w in asked.items()}

    def _bet(self, watched: _Watched) -> None:
        total, size = watched.clusters[-1]
        for bettor in (watched.keeps, watched.worse, watched.any_loss):
            bettor.observe(total, size)
        if watched.worse.peak >= math.log(len(self._families) / EARLY):
            watched.decided = "degraded"
        elif watched.keeps.peak >= math.log(1 / EARLY):
            watched.decided = "retained"

    def _judgement(self, watched: _Watched, comparison: Comparison, lost: bool, rank: int) -> Judgement:
        stopped = watched.decided
        if stopped is not None:
            low, high = betting_interval(watched.clusters, watched.plan.largest, LEVEL)
            mean = comparison.difference
            comparison = replace(comparison, low=min(low, mean), high=max(high, mean), method="Betting, holds at every look")
        reached = stopped or verdict(comparison, lost=lost)
        sure = watched.any_loss.peak >= math.log(len(self._families) / EARLY) if watched.sequential else False
        return Judgement(
            comparison=comparison,
            verdict=reached,
            items=watched.plan.items,
            stopped=_why(watched),
            kept=watched.keeps.log10 if watched.sequential else None,
            worse=watched.worse.log10 if watched.sequential else None,
            alpha=watched.alpha,
            p_degraded=comparison.p_degraded if stopped is None else None,
            rank=rank if stopped is None else 0,
            small_loss=reached == "retained" and (sure or (lost and stopped is None)),
        )


def _why(watched: _Watched) -> str:
    asked, items = len(watched.pairs), watched.plan.items
    if watched.decided is not None and asked < items:
        return f"{watched.decided} beyond doubt after {asked} of {items} items"
    if asked < items:
        return f"{asked} of {items} items were asked"
    return "all items asked"
