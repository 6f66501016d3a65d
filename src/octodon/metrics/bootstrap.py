"""How sure a difference between two models is: both on the same sequences, sequences drawn again and again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray

from octodon.metrics.pearson import correlation

DRAWS = 1000
"""Ends of a 95 % interval are then the 25th value from either side: a tenth of its width from the true end."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A difference with its 95 % bootstrap interval (percentiles); NaN where it is not defined.

    Attributes
    ----------
    value, low, high : float
    n : int
        Sequences behind it.
    """

    value: float
    low: float
    high: float
    n: int


def pearson_difference(
    a: Float[ndarray, " n"],
    b: Float[ndarray, " n"],
    truth: Float[ndarray, " n"],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Difference:
    """Return r(a, truth) - r(b, truth) over the rows that have a truth, paired: both see the same drawn sequences."""
    a, b, y = _rows_with_truth(a, b, truth)
    value = correlation(a, y) - correlation(b, y)
    if len(y) < 3 or not np.isfinite(value):
        return Difference(value=float("nan"), low=float("nan"), high=float("nan"), n=len(y))
    # Centred, so that the weighted sums below do not cancel.
    a, b, y = a - a.mean(), b - b.mean(), y - y.mean()
    products = np.stack([a, b, y, a * a, b * b, y * y, a * y, b * y])
    sums = np.stack([products @ counts for counts in _draws(len(y), draws, seed)]) / len(y)
    mean_a, mean_b, mean_y, aa, bb, yy, ay, by = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):  # a draw of one sequence only has no correlation
        spread = [np.sqrt(s - m * m) for s, m in ((aa, mean_a), (bb, mean_b), (yy, mean_y))]
        drawn = ((ay - mean_a * mean_y) / spread[0] - (by - mean_b * mean_y) / spread[1]) / spread[2]
    return _difference(value, drawn, len(y))


def squared_error_difference(
    a: Float[ndarray, " n"],
    b: Float[ndarray, " n"],
    truth: Float[ndarray, " n"],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Difference:
    """Return the mean squared error of a minus that of b, paired, over the rows that have a truth."""
    a, b, y = _rows_with_truth(a, b, truth)
    if not len(y):
        return Difference(value=float("nan"), low=float("nan"), high=float("nan"), n=0)
    worse = np.square(a - y) - np.square(b - y)
    drawn = np.array([worse @ counts for counts in _draws(len(y), draws, seed)]) / len(y)
    return _difference(float(worse.mean()), drawn, len(y))


def _rows_with_truth(*values: Float[ndarray, " n"]) -> list[Float64[ndarray, " k"]]:
    """Return the rows of which the last one, the truth, has a value."""
    known = np.isfinite(values[-1])
    return [one[known].astype(np.float64) for one in values]


def _draws(n: int, draws: int, seed: int) -> Iterator[ndarray]:
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.bincount(rng.integers(n, size=n), minlength=n)


def _difference(value: float, drawn: Float64[ndarray, " d"], n: int) -> Difference:
    low, high = np.nanquantile(drawn, (0.025, 0.975)) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return Difference(value=value, low=float(low), high=float(high), n=n)
