"""Pearson correlation."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.metrics import better, metrics
from octodon.metrics._paired import paired_columns


@metrics.register("pearson")
@better("higher")
def pearson(prediction: Float[ndarray, "n t"], truth: Float[ndarray, "n t"]) -> Float[ndarray, " t"]:
    """Return Pearson's r per target, from -1 to 1, without unit.

    Rows whose truth is NaN are left out. Where r is not defined (fewer than two rows, or one side constant)
    the value is NaN, without a warning.
    """
    pairs = paired_columns(prediction, truth)
    return np.array([correlation(p, y) for p, y in pairs], dtype=np.float64)


def correlation(x: Float[ndarray, " k"], y: Float[ndarray, " k"]) -> float:
    """Return Pearson's r of two finite vectors; NaN where it is not defined."""
    unit_x, unit_y = unit_deviation(x), unit_deviation(y)
    # Rounding can leave the product a hair outside [-1, 1]; NaN passes through.
    return float(np.clip(unit_x @ unit_y, -1.0, 1.0)) if len(x) else float("nan")


def unit_deviation(x: Float[ndarray, " k"]) -> Float[ndarray, " k"]:
    """Return deviations from the mean, scaled to length one; all NaN for fewer than two or equal values."""
    # Constant is judged on the values themselves: their mean may differ from them by rounding.
    if len(x) < 2 or x.min() == x.max():
        return np.full(len(x), np.nan)
    # Scaled twice by the largest value, so that neither the sum nor the squares overflow or vanish.
    scaled = x / np.abs(x).max()
    deviation = scaled - scaled.mean()
    deviation /= np.abs(deviation).max()
    return deviation / np.sqrt(deviation @ deviation)
