"""Rank correlation between the std and the size of the error."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import rankdata

from octodon.metrics.pearson import correlation
from octodon.metrics.uncertainty import uncertainty_metrics
from octodon.metrics.uncertainty._spread import Row, better, per_target


@uncertainty_metrics.register("error_spearman")
@better("higher")
def error_spearman(
    mean: Float[ndarray, "n t"], std: Float[ndarray, "n t"], truth: Float[ndarray, "n t"]
) -> Float[ndarray, " t"]:
    """Return Spearman's rho between std and |truth - mean| per target, from -1 to 1, without unit.

    Far below 1 even for the true std, because one error says little about its std: for stds spread as a log-normal of
    sigma 0.5, about 0.46. NaN where either side is constant or there are fewer than two rows.
    """
    return per_target(_error_spearman, mean, std, truth)


def _error_spearman(mean: Row, std: Row, truth: Row) -> float:
    return correlation(rankdata(std), rankdata(np.abs(truth - mean)))
