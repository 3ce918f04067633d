"""Quantiles and tails the tests need: normal, Student, binomial. Pure Python, exact to about twelve digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

_NORMAL = NormalDist()
_STEPS = 200


def normal_quantile(p: float) -> float:
    """Return z with P(Z ≤ z) = p, for 0 < p < 1."""
    return _NORMAL.inv_cdf(p)


def normal_tail(z: float) -> float:
    """Return P(Z ≥ z)."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b).

    Args:
        x: In [0, 1].
        a: Positive.
        b: Positive.

    Source:
        Press et al., Numerical Recipes, 3rd edition, section 6.4 (Lentz's continued fraction).
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    fraction = d
    for m in range(1, 500):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 + term * d, 1 + term / c
            d = 1 / (d if abs(d) > tiny else tiny)
            c = c if abs(c) > tiny else tiny
            fraction *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return front * fraction


def student_cdf(t: float, degrees: float) -> float:
    """Return P(T ≤ t) for Student's t with the given degrees of freedom."""
    tail = beta_cdf(degrees / (degrees + t * t), degrees / 2, 0.5) / 2
    return 1 - tail if t > 0 else tail


def student_quantile(p: float, degrees: float) -> float:
    """Return t with P(T ≤ t) = p, for 0 < p < 1."""
    return bisect(lambda t: student_cdf(t, degrees) - p, -1e6, 1e6)


def binomial_upper_tail(hits: int, n: int, p: float) -> float:
    """Return P(X ≥ hits) for X binomial with n trials of probability p."""
    return 1.0 if hits <= 0 else beta_cdf(p, hits, n - hits + 1) if hits <= n else 0.0


def clopper_pearson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a proportion.

    Args:
        hits: Successes, 0 to n.
        n: Trials, at least 1.
        level: Coverage.

    Returns:
        Bounds in [0, 1].

    Source:
        Clopper and Pearson, Biometrika 26 (1934), 404–413.
    """
    half = (1 - level) / 2
    low = 0.0 if hits == 0 else bisect(lambda p: beta_cdf(p, hits, n - hits + 1) - half, 0, 1)
    high = 1.0 if hits == n else bisect(lambda p: beta_cdf(p, hits + 1, n - hits) - (1 - half), 0, 1)
    return low, high


def wilson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion.

    Args:
        hits: Successes, 0 to n.
        n: Trials, at least 1.
        level: Coverage.

    Returns:
        Bounds in [0, 1].

    Source:
        Wilson, Journal of the American Statistical Association 22 (1927), 209–212.
    """
    z = normal_quantile(0.5 + level / 2)
    share, scale = hits / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    reach = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def bisect(rises: Callable[[float], float], low: float, high: float, steps: int = _STEPS) -> float:
    """Return the root of an increasing function between two bounds, after so many halvings; the nearer bound if there is none."""
    for _ in range(steps):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if rises(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
