"""Interval score: width plus a penalty for what lies outside."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.metrics.intervals import interval_metrics
from octodon.metrics.intervals._ends import Row, better, per_target


@interval_metrics.register("interval_score")
@better("lower")
def interval_score(
    lower: Float[ndarray, "n t"], upper: Float[ndarray, "n t"], truth: Float[ndarray, "n t"], level: float
) -> Float[ndarray, " t"]:
    """Return the mean interval score per target, in units of the target.

    (upper - lower) + 2 / alpha (distance of the truth to the interval), alpha = 1 - level; a proper score, smallest
    in expectation for the true quantiles at alpha / 2 and 1 - alpha / 2 (Gneiting and Raftery 2007, eq. 43).
    """

    def score(lower: Row, upper: Row, truth: Row) -> float:
        outside = np.maximum(lower - truth, 0) + np.maximum(truth - upper, 0)
        return float(np.mean(upper - lower + 2 / (1 - level) * outside))

    return per_target(score, lower, upper, truth, level)
