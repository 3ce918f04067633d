"""Betting on paired items: the wealth is fair whatever the sizes of clusters, and early looks keep the level."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from evaluators._gate.gate import EARLY, Gate, Plan
from evaluators._gate.noise import measure
from evaluators._gate.paired import Pair, compare, verdict
from evaluators._gate.scores import ALPHA
from evaluators._gate.sequential import Bettor, betting_interval

SAME, LOST, GAINED = Pair(1, 1), Pair(1, 0), Pair(0, 1)


def alone(pairs: list[Pair]) -> list[list[Pair]]:
    return [[p] for p in pairs]


def stream(lost: float, gained: float, n: int, seed: int) -> list[Pair]:
    draw = random.Random(seed)
    return [LOST if (u := draw.random()) < lost else GAINED if u < lost + gained else SAME for _ in range(n)]


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("sizes", [(1,), (1, 3)])
def test_a_bet_on_a_true_hypothesis_gains_nothing_on_average(sizes: tuple[int, ...], up: bool) -> None:
    """All sequences of six clusters with their probabilities: a loss of the margin exactly, whole clusters at a time."""
    margin, gain = 0.2, 0.1
    shares = {-1: margin + gain, 1: gain, 0: 1 - margin - 2 * gain}
    expected = 0.0
    for path in itertools.product(itertools.product(shares, sizes), repeat=6 if len(sizes) == 1 else 4):
        bettor, likely = Bettor(margin, up=up, largest=max(sizes)), 1.0
        for sign, size in path:
            bettor.observe(sign * size, size)
            likely *= shares[sign] / len(sizes)
        expected += likely * math.exp(bettor.wealth)
    assert expected == pytest.approx(1.0, abs=1e-9)


def test_at_the_margin_early_looks_seldom_say_retained() -> None:
    runs, wrong = 300, 0
    for seed in range(runs):
        bettor = Bettor(0.05, up=True)
        for pair in stream(0.09, 0.04, 400, seed):
            bettor.observe(pair.difference)
        wrong += bettor.peak >= math.log(1 / EARLY)
    assert wrong / runs <= EARLY + 3 * math.sqrt(EARLY * (1 - EARLY) / runs)


def test_no_change_is_retained_before_the_last_item() -> None:
    gate = Gate({"f": Plan(0.05, 600, parts=4)}, stop_early=True, seed=0)
    gate.observe("f", alone([SAME] * 64))
    assert gate.open("f")
    gate.observe("f", alone([SAME] * 128))
    assert not gate.open("f")
    found = gate.judge()["f"]
    assert (found.verdict, found.stopped) == ("retained", "retained beyond doubt after 192 of 600 items")
    assert found.kept is not None
    assert found.kept >= math.log10(40)
    assert (found.p_degraded, found.rank) == (None, 0)
    assert found.comparison.low <= 0 <= found.comparison.high
    assert found.comparison.low > -0.05


def test_a_broken_adapter_is_met_in_the_first_unit() -> None:
    gate = Gate({"f": Plan(0.05, 2000, parts=9), "g": Plan(0.05, 2000, parts=9)}, stop_early=True, seed=0)
    gate.observe("f", alone(stream(0.5, 0.0, 64, 1)))
    assert not gate.open("f")
    assert gate.open("g")
    found = gate.judge()
    assert set(found) == {"f"}, "a family nobody asked is not judged"
    assert found["f"].verdict == "degraded"
    assert found["f"].worse is not None
    assert found["f"].worse >= math.log10(2 / EARLY)


def test_more_families_need_more_evidence_of_damage_and_no_more_of_none() -> None:
    found = []
    for count in (1, 1000):
        gate = Gate({str(i): Plan(0.05, 2000, parts=9) for i in range(count)}, stop_early=True, seed=0)
        gate.observe("0", alone([LOST, SAME, SAME] * 20))
        evidence = gate.judge()["0"].worse
        assert evidence is not None
        assert (gate.decided("0") == "degraded") is (evidence >= math.log10(count / EARLY))
        found.append(gate.decided("0"))
    assert found == ["degraded", None]
    for count in (1, 1000):
        gate = Gate({str(i): Plan(0.05, 2000, parts=9) for i in range(count)}, stop_early=True, seed=0)
        gate.observe("0", alone([SAME] * 200))
        assert gate.decided("0") == "retained"


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("stop", [True, False])
def test_the_last_tests_have_the_level_that_early_looks_leave(parts: int, stop: bool) -> None:
    items = stream(0.08, 0.04, 300, 7)
    gate = Gate({"f": Plan(0.05, 300, parts=parts)}, stop_early=stop, seed=0)
    gate.observe("f", alone(items))
    found = gate.judge()["f"]
    early = stop and parts > 1
    assert gate.open("f")
    assert found.alpha == (ALPHA - EARLY if early else ALPHA)
    assert (found.kept is None) is not early
    whole = compare(items, 0.05, 0, found.alpha)
    assert found.comparison == whole
    assert found.verdict == verdict(whole, lost=whole.p_degraded <= found.alpha)
    assert found.stopped == "all items asked"


def test_scores_beyond_one_are_never_bet_on() -> None:
    gate = Gate({"f": Plan(0.05, 2000, parts=9)}, stop_early=True, seed=0)
    gate.observe("f", alone([Pair(3.0, 0.5)] * 200))
    assert gate.open("f")
    assert gate.judge()["f"].kept is None


def test_one_large_cluster_does_not_decide_like_many_items() -> None:
    gate = Gate({"f": Plan(0.05, 400, largest=200, parts=3)}, stop_early=True, seed=0)
    gate.observe("f", [[Pair(1, 1, "a")] * 200, [Pair(1, 1, "b")] * 200])
    assert gate.open("f")
    found = gate.judge()["f"]
    assert found.verdict == "inconclusive"
    assert "2 texts" in found.comparison.too_few


def test_a_real_but_small_loss_is_retained_and_named() -> None:
    gate = Gate({"f": Plan(0.05, 4000)}, stop_early=False, seed=0)
    gate.observe("f", alone([LOST] * 80 + [GAINED] * 10 + [SAME] * 3910))
    found = gate.judge()["f"]
    assert (found.verdict, found.small_loss) == ("retained", True)


def test_the_interval_holds_where_one_stopped() -> None:
    missed = 0
    for seed in range(60):
        found = [(p.difference, 1) for p in stream(0.1, 0.02, 150, seed)]
        low, high = betting_interval(found, 1, 0.95)
        assert low < high
        missed += not low <= -0.08 <= high
    assert missed <= 8


def test_noise_explains_few_and_balanced_changes_only() -> None:
    noise = measure([1.0] * 64, [1.0] * 64, [0.001] * 99 + [0.5])
    assert noise is not None
    assert (noise.flips, noise.noisy, noise.apart) == (0, False, 0.001)

    def judged(lost: int, gained: int) -> bool:
        gate = Gate({"f": Plan(0.05, 400)}, stop_early=False, seed=0)
        gate.observe("f", alone([LOST] * lost + [GAINED] * gained + [SAME] * (400 - lost - gained)))
        return noise.explains(gate.judge()["f"])

    assert judged(3, 3)
    assert not judged(12, 0)
    assert not judged(40, 40)
    assert measure([], [], []) is None
    loud = measure([1.0] * 64, [1.0] * 62 + [0.0] * 2, [])
    assert loud is not None
    assert (loud.noisy, loud.apart) == (True, None)
