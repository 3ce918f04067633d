"""The tests that decide "retained" and "degraded", against published values, other implementations and simulation."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators._gate import distributions
from evaluators._gate.paired import Comparison, Pair, compare, verdicts
from evaluators._gate.scores import holm, mcnemar, mean_interval, needed, sign_flip, tango, tango_interval


def pairs(lost: int, gained: int, n: int) -> list[Pair]:
    same = n - lost - gained
    return [Pair(1, 0)] * lost + [Pair(0, 1)] * gained + [Pair(1, 1)] * same


@pytest.mark.parametrize(
    ("n", "margin"),
    [(268, 0.01), (133, 0.02), (88, 0.03), (52, 0.05)],
)
def test_without_a_flip_tango_passes_from_the_published_n(n: int, margin: float) -> None:
    assert tango(0, 0, n, margin) < -1.6448536
    assert tango(0, 0, n - 1, margin) > -1.6448536
    assert tango(0, 0, n, margin) == pytest.approx(-math.sqrt(n * margin / (1 - margin)))


@pytest.mark.parametrize(("lost", "gained", "n"), [(2, 12, 50), (9, 4, 100), (31, 13, 340), (0, 3, 80)])
def test_interval_holds_exactly_the_hypotheses_that_are_not_rejected(lost: int, gained: int, n: int) -> None:
    low, high = tango_interval(lost, gained, n)
    assert abs(tango(lost, gained, n, -low)) == pytest.approx(1.959964, abs=1e-5)
    assert abs(tango(lost, gained, n, -high)) == pytest.approx(1.959964, abs=1e-5)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 200))
def test_interval_is_symmetric_and_holds_the_estimate(lost: int, gained: int, same: int) -> None:
    n = lost + gained + same
    if not n:
        return
    low, high = tango_interval(lost, gained, n)
    mirrored = tango_interval(gained, lost, n)
    assert low - 1e-9 <= (gained - lost) / n <= high + 1e-9
    assert mirrored == pytest.approx((-high, -low), abs=1e-9)


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.005, 0.2))
def test_more_losses_never_look_better(lost: int, gained: int, margin: float) -> None:
    assert tango(lost + 1, gained, 300, margin) >= tango(lost, gained, 300, margin) - 1e-9


def test_score_statistic_equals_a_numerically_constrained_estimate() -> None:
    for lost, gained, n, delta in [(9, 4, 100, 0.05), (0, 3, 80, 0.02), (20, 25, 300, 0.03)]:

        def likelihood(q: float, lost: int = lost, gained: int = gained, n: int = n, delta: float = delta) -> float:
            terms = ((lost, q + delta), (gained, q), (n - lost - gained, 1 - 2 * q - delta))
            return sum(k * math.log(max(p, 1e-300)) for k, p in terms if k)

        best = max((i / 200_000 for i in range(1, 100_000)), key=likelihood)
        numeric = (lost - gained - n * delta) / math.sqrt(n * (2 * best + delta * (1 - delta)))
        assert tango(lost, gained, n, delta) == pytest.approx(numeric, abs=1e-3)


@pytest.mark.parametrize(("n", "share"), [(100, 0.08), (200, 0.08)])
def test_type_one_error_at_the_margin_is_five_percent(n: int, share: float) -> None:
    """A loss of exactly the margin is called retained in at most 6 of 100 families (nominal 5)."""
    margin, draw = 0.05, random.Random(7)
    lost_rate = (share + margin) / 2
    wrong, runs = 0, 4000
    for _ in range(runs):
        lost = gained = 0
        for _ in range(n):
            u = draw.random()
            lost += u < lost_rate
            gained += lost_rate <= u < share
        wrong += tango(lost, gained, n, margin) < -1.6448536
    assert 0.02 < wrong / runs < 0.06


def test_exact_mcnemar_has_known_values() -> None:
    assert mcnemar(8, 2) == pytest.approx(0.0546875)
    assert mcnemar(0, 5) == 1.0
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(10, 0) == pytest.approx(2**-10)


def test_sign_flips_of_single_items_agree_with_mcnemar() -> None:
    assert sign_flip([-1.0] * 9 + [1.0] * 2, seed=1) == pytest.approx(mcnemar(9, 2), abs=0.01)
    assert sign_flip([], seed=1) == 1.0


def test_holm_steps_down_and_stops_at_the_first_failure() -> None:
    assert holm([0.01, 0.04, 0.03]) == [True, False, False]
    assert holm([0.001, 0.02, 0.04]) == [True, True, True]
    assert holm([0.03, 0.03]) == [False, False]
    assert holm([]) == []


def outcome(lost: int, gained: int, n: int, margin: float = 0.05) -> tuple[str, Comparison]:
    comparison = compare(pairs(lost, gained, n), margin, seed=1)
    return verdicts([comparison])[0], comparison


def test_three_verdicts() -> None:
    assert outcome(2, 2, 300)[0] == "retained"
    assert outcome(60, 10, 300)[0] == "degraded"
    assert outcome(3, 3, 40)[0] == "inconclusive"
    # A real but small loss: significant, and still inside the margin.
    verdict, small = outcome(22, 6, 1500)
    assert (verdict, small.p_degraded < 0.01) == ("retained", True)
    # Significant, not shown to be inside the margin, estimate above it: open.
    assert outcome(24, 9, 400)[0] == "inconclusive"


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 200))
def test_a_family_is_never_both_retained_and_below_the_margin(lost: int, gained: int, same: int) -> None:
    verdict, comparison = outcome(lost, gained, lost + gained + same)
    assert not (verdict == "retained" and comparison.difference <= -comparison.margin)
    assert comparison.low <= comparison.difference <= comparison.high


def test_clusters_widen_the_interval_and_their_order_does_not_matter() -> None:
    draw = random.Random(3)
    grouped = []
    for group in range(30):
        bad = draw.random() < 0.25
        grouped += [Pair(1.0, 0.0 if bad and draw.random() < 0.8 else 1.0, f"g{group}") for _ in range(10)]
    loose = [Pair(p.base, p.adapter) for p in grouped]
    clustered, plain = compare(grouped, 0.05, seed=1), compare(loose, 0.05, seed=1)
    assert (clustered.clusters, plain.clusters, clustered.n) == (30, 300, 300)
    assert clustered.high - clustered.low > 1.3 * (plain.high - plain.low)
    assert clustered.p_degraded > plain.p_degraded
    by_group = [list(g) for _, g in itertools.groupby(grouped, key=lambda p: p.group)]
    draw.shuffle(by_group)
    again = compare([p for g in by_group for p in g], 0.05, seed=1)
    assert (again.low, again.high) == pytest.approx((clustered.low, clustered.high))


def test_few_flips_in_clusters_are_counted_by_cluster() -> None:
    found = compare([Pair(1, 0, "a")] * 4 + [Pair(1, 1, f"g{i}") for i in range(100)], 0.05, seed=1)
    assert (found.method, found.clusters) == ("Tango over clusters", 101)
    # 1 of 100 clusters is within the margin; as items they are 6 of 100, and that is not.
    heavy = [Pair(1, 0, "a")] * 9 + [Pair(1, 1, "a")] * 41 + [Pair(1, 1) for _ in range(99)]
    assert compare(heavy, 0.05, seed=1).retained is False


def test_scores_between_zero_and_one_use_student() -> None:
    found = compare([Pair(0.5, 0.5 + 0.01 * (i % 3)) for i in range(60)], 0.05, seed=1)
    assert found.method == "Student, paired"
    assert found.retained
    assert compare([Pair(0.9, 0.6 + 0.01 * (i % 3)) for i in range(60)], 0.05, seed=1).retained is False


def test_one_cluster_alone_never_decides() -> None:
    assert verdicts([compare([Pair(0.9, 0.9, "a"), Pair(0.5, 0.5, "a")], 0.05, seed=1)]) == ["inconclusive"]


def test_needed_items_are_the_published_ones() -> None:
    assert needed(0.03, 0.01) == 1855
    assert needed(0.08, 0.05) == 198
    # Without a flip it is the least number that Tango's test passes with.
    assert [needed(0.0, m) for m in (0.01, 0.02, 0.03, 0.05)] == [268, 133, 88, 52]
    assert needed(0.08, 0.05, loss=0.02) == pytest.approx(198 * (0.05 / 0.03) ** 2, rel=0.01)
    assert needed(0.08, 0.05, loss=0.05) is None


def test_quantiles_and_proportions_have_known_values() -> None:
    assert distributions.student_quantile(0.975, 7) == pytest.approx(2.364624, abs=1e-6)
    assert distributions.student_quantile(0.95, 1) == pytest.approx(6.313752, abs=1e-5)
    assert distributions.clopper_pearson(0, 40) == pytest.approx((0.0, 0.0880973), abs=1e-6)
    assert distributions.clopper_pearson(3, 20) == pytest.approx((0.0320709, 0.3789268), abs=1e-6)
    assert distributions.clopper_pearson(20, 20)[1] == 1.0
    assert distributions.wilson(3, 20) == pytest.approx((0.0523687, 0.3604189), abs=1e-6)
    assert distributions.binomial_upper_tail(3, 5, 0.5) == pytest.approx(0.5)


def test_mean_interval_of_known_numbers() -> None:
    mean, low, high = mean_interval([1.0, 2.0, 3.0])
    assert (mean, low, high) == pytest.approx((2.0, -0.4841, 4.4841), abs=1e-3)
    assert mean_interval([1.0])[1:] == (-math.inf, math.inf)
