"""How sure a difference between two models is: both on the same sequences, sequences drawn again and again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float64, Int
from numpy import ndarray
from scipy.stats import rankdata

from octodon.metrics.pearson import correlation

DRAWS = 1000
"""Ends of a 95 % interval are then the 25th value from either side: a tenth of its width from the true end."""

FEWEST = 3
"""Sequences that an interval needs."""


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
    if len(y) < FEWEST or not np.isfinite(value):
        return _unknown(len(y))
    # Centred, so that the weighted sums below do not cancel.
    a, b, y = a - a.mean(), b - b.mean(), y - y.mean()
    products = np.stack([a, b, y, a * a, b * b, y * y, a * y, b * y])
    sums = np.stack([products @ counts for counts in _draws(len(y), draws, seed)]) / len(y)
    mean_a, mean_b, mean_y, aa, bb, yy, ay, by = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):  # a draw of one sequence only has no correlation
        spread = [np.sqrt(s - m * m) for s, m in ((aa, mean_a), (bb, mean_b), (yy, mean_y))]
        drawn = ((ay - mean_a * mean_y) / spread[0] - (by - mean_b * mean_y) / spread[1]) / spread[2]
    return _difference(value, drawn, len(y))


def spearman_difference(
    a: Float[ndarray, " n"],
    b: Float[ndarray, " n"],
    truth: Float[ndarray, " n"],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Difference:
    """Return rho(a, truth) - rho(b, truth) over the rows that have a truth, paired; every draw is ranked anew."""
    a, b, y = _rows_with_truth(a, b, truth)
    ranked = [rankdata(values) for values in (a, b, y)] if len(y) else []
    value = correlation(ranked[0], ranked[2]) - correlation(ranked[1], ranked[2]) if ranked else float("nan")
    if len(y) < FEWEST or not np.isfinite(value):
        return _unknown(len(y))
    places = [np.unique(values, return_inverse=True)[1] for values in (a, b, y)]
    drawn = np.array([_rho_difference(places, counts) for counts in _draws(len(y), draws, seed)])
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
    return mean_difference(np.square(a - y), np.square(b - y), seed=seed, draws=draws)


def mean_difference(
    a: Float[ndarray, " n"], b: Float[ndarray, " n"], *, seed: int = 0, draws: int = DRAWS
) -> Difference:
    """Return the mean of a minus that of b, paired; a and b are scores row by row, such as "inside the interval" (0 or 1).

    One or two rows give a value without an interval: drawn again and again, one row is always itself.
    """
    apart = a - b
    if len(apart) < FEWEST:
        return replace(_unknown(len(apart)), value=float(apart.mean()) if len(apart) else float("nan"))
    drawn = np.array([apart @ counts for counts in _draws(len(apart), draws, seed)]) / len(apart)
    return _difference(float(apart.mean()), drawn, len(apart))


def _rho_difference(places: list[Int[ndarray, " n"]], counts: Int[ndarray, " n"]) -> float:
    """Return rho(a) - rho(b) of a draw that holds row i ``counts[i]`` times; equal values share their mean rank."""
    ranks = []
    for place in places:
        drawn = np.bincount(place, weights=counts)
        middle = np.cumsum(drawn) - (drawn - 1) / 2  # of the ranks from 1 to n that equal values take
        ranks.append(middle[place] - (len(counts) + 1) / 2)
    a, b, y = ranks
    aa, bb, yy, ay, by = (float((u * v) @ counts) for u, v in ((a, a), (b, b), (y, y), (a, y), (b, y)))
    with np.errstate(invalid="ignore", divide="ignore"):  # a draw of one value only has no correlation
        return (
            float((ay / np.sqrt(aa) - by / np.sqrt(bb)) / np.sqrt(yy)) if aa and bb and yy else float("nan")
        )


def _rows_with_truth(*values: Float[ndarray, " n"]) -> list[Float64[ndarray, " k"]]:
    """Return the rows of which the last one, the truth, has a value."""
    known = np.isfinite(values[-1])
    return [one[known].astype(np.float64) for one in values]


def _draws(n: int, draws: int, seed: int) -> Iterator[ndarray]:
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.bincount(rng.integers(n, size=n), minlength=n)


def _unknown(n: int) -> Difference:
    return Difference(value=float("nan"), low=float("nan"), high=float("nan"), n=n)


def _difference(value: float, drawn: Float64[ndarray, " d"], n: int) -> Difference:
    low, high = np.nanquantile(drawn, (0.025, 0.975)) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return Difference(value=value, low=float(low), high=float(high), n=n)
