"""Spearman rank correlation."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import rankdata

from octodon.metrics import better, metrics
from octodon.metrics._paired import paired_columns
from octodon.metrics.pearson import correlation


@metrics.register("spearman")
@better("higher")
def spearman(prediction: Float[ndarray, "n t"], truth: Float[ndarray, "n t"]) -> Float[ndarray, " t"]:
    """Return Spearman's rho per target, from -1 to 1, without unit.

    It is Pearson's r of the ranks; tied values share their mean rank. Rows whose truth is NaN are left out
    before ranking. Where rho is not defined (fewer than two rows, or one side constant) the value is NaN,
    without a warning.
    """
    pairs = paired_columns(prediction, truth)
    return np.array([correlation(rankdata(p), rankdata(y)) for p, y in pairs], dtype=np.float64)
