"""How often the forgetting gate errs and how soon it stops, on drawn answers with a known loss.

    python -m tests.benchmarks.gate_simulation                 # all tables; under five minutes on one core
    python -m tests.benchmarks.gate_simulation --runs 200      # quicker, with larger standard errors
    … --seed N

It drives the gate of the product unit by unit, in units of the product's sizes. Every share is printed with its standard error;
the published figures of the design stand beside it. Items of a cluster take the outcome of the cluster with a fixed probability.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from evaluators._gate.gate import Gate, Plan
from evaluators._gate.paired import Pair, compare
from evaluators._gate.scores import ALPHA
from evaluators._runtime.items import sizes

_PAIRS = {-1: (1.0, 0.0), 0: (1.0, 1.0), 1: (0.0, 1.0)}
#: Truth, share lost, share gained; then (items used, retained, degraded) published for 2,000 items at 3 points, 600 at 5.
_STOPPING = (
    ("no change, 3 % flip", 0.015, 0.015, (400, 1.00, 0.0), (201, 1.00, 0.0)),
    ("no change, 8 % flip", 0.04, 0.04, (875, 1.00, 0.0), (314, 0.99, 0.0)),
    ("-1 point", 0.05, 0.04, (1486, 0.88, 0.0), (406, 0.92, 0.0)),
    ("-3 points", 0.07, 0.04, (1972, 0.031, 0.52), (556, 0.39, 0.05)),
    ("-5 points", 0.09, 0.04, (1623, 0.0, 1.00), (598, 0.025, 0.52)),
    ("-10 points", 0.14, 0.04, (305, 0.0, 1.00), (453, 0.0, 1.00)),
    ("-20 points", 0.24, 0.04, (104, 0.0, 1.00), (130, 0.0, 1.00)),
)
_FAMILIES = ((2000, 0.03), (600, 0.05))
#: Margin, share of flips, items with which power is 0.8.
_NEEDED = ((0.02, 0.03, 464), (0.02, 0.08, 1237), (0.03, 0.03, 207), (0.03, 0.08, 550), (0.03, 0.2, 1374), (0.05, 0.05, 124),
           (0.05, 0.08, 198), (0.05, 0.2, 495))  # fmt: skip
#: Clusters, items of each, correlation of losses inside one, margin.
_CLUSTERED = ((120, 5, 0.1, 0.05), (60, 10, 0.1, 0.05), (30, 20, 0.05, 0.05), (123, 17, 0.1, 0.03))

Clusters = list[list[Pair]]


def alone(draw: np.random.Generator, lost: float, gained: float, n: int) -> Clusters:
    """Return items that know nothing of each other."""
    changes = draw.choice([-1, 1, 0], size=n, p=[lost, gained, 1 - lost - gained])
    return [[Pair(*_PAIRS[int(c)])] for c in changes]


def together(draw: np.random.Generator, lost: float, gained: float, shape: tuple[int, int, float]) -> Clusters:
    """Return clusters whose items correlate by ``rho``, the last of ``shape``."""
    count, size, rho = shape
    found = []
    for number in range(count):
        shared, *own = draw.choice([-1, 1, 0], size=size + 1, p=[lost, gained, 1 - lost - gained])
        # Each item takes the cluster's outcome with probability √rho, so two of them correlate by rho.
        changes = np.where(draw.random(size) < math.sqrt(rho), shared, own)
        found.append([Pair(*_PAIRS[int(c)], str(number)) for c in changes])
    return found


def units(clusters: Clusters) -> Iterator[Clusters]:
    """Cut as the product does; a short rest goes with the last unit."""
    left, cut = sum(map(len, clusters)), sizes(0)
    size, part, held = next(cut), list[list[Pair]](), 0
    for cluster in clusters:
        part.append(cluster)
        held, left = held + len(cluster), left - len(cluster)
        if held >= size and left >= size // 2:
            yield part
            size, part, held = next(cut), [], 0
    yield part


def judged(clusters: Clusters, margin: float, *, stop: bool) -> tuple[str, int]:
    """Return verdict and items asked."""
    parts = list(units(clusters))
    total, largest = sum(map(len, clusters)), max(map(len, clusters))
    gate = Gate({"f": Plan(margin, total, largest, len(parts))}, stop_early=stop, seed=0)
    asked = 0
    for part in parts:
        gate.observe("f", part)
        asked += sum(map(len, part))
        early = gate.decided("f")
        if early is not None:
            return early, asked
    return gate.judge()["f"].verdict, asked


def share(hits: int, runs: int) -> str:
    """Return a share with its standard error; of none and all, the rule of three."""
    p = hits / runs
    error = math.sqrt(p * (1 - p) / runs) if 0 < hits < runs else 3 / runs
    return f"{p:.3f} ±{error:.3f}"


def row(name: str, draw: Callable[[], Clusters], margin: float, runs: int, *, stop: bool, beside: str) -> None:
    """Simulate one truth and print a line."""
    verdicts: dict[str, int] = {}
    used = 0
    for _ in range(runs):
        verdict, asked = judged(draw(), margin, stop=stop)
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
        used += asked
    retained, degraded = (share(verdicts.get(v, 0), runs) for v in ("retained", "degraded"))
    print(f"  {name:<34} items {used / runs:7.0f}   retained {retained}   degraded {degraded}   {beside}", flush=True)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400, help="draws of each truth")
    parser.add_argument("--seed", type=int, default=20261125)
    asked = parser.parse_args()
    draw, begun = np.random.default_rng(asked.seed), time.perf_counter()
    print(f"seed {asked.seed}, {asked.runs} runs a line, level {ALPHA}; ± is one standard error")
    for number, (n, margin) in enumerate(_FAMILIES):
        print(f"\nstopping early, {n} items, margin {margin:.0%}")
        for name, lost, gained, *published in _STOPPING:
            items, retained, degraded = published[number]
            beside = f"(design: {items}, {retained:.3f}, {degraded:.3f})"
            row(name, partial(alone, draw, lost, gained, n), margin, asked.runs, stop=True, beside=beside)
    print("\nat the margin, all items asked: 'retained' may err in 0.05")
    for n, margin in ((100, 0.05), (200, 0.05), (500, 0.05), (2000, 0.03)):
        at = margin + 0.04
        row(f"{n} items, margin {margin:.0%}", partial(alone, draw, at, 0.04, n), margin, asked.runs, stop=False, beside="")
    print("\nat the margin, clustered: 'retained' may err in 0.05")
    for count, size, rho, margin in _CLUSTERED:
        for stop in (False, True):
            name = f"{count} × {size}, rho {rho}, {'stopping' if stop else 'all asked'}"
            shape = (count, size, rho)
            row(name, partial(together, draw, margin + 0.04, 0.04, shape), margin, asked.runs // 2, stop=stop, beside="")
    print("\npower of 'retained' with the items of the table of needed items, nothing lost (design: 0.8)")
    for margin, flips, n in _NEEDED:
        hits, runs = 0, asked.runs // 2
        for _ in range(runs):
            drawn = [p for cluster in alone(draw, flips / 2, flips / 2, n) for p in cluster]
            hits += compare(drawn, margin, 0).retained
        print(f"  margin {margin:.0%}, {flips:.0%} flip, {n:5d} items   retained {share(hits, runs)}", flush=True)
    print(f"\n{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
