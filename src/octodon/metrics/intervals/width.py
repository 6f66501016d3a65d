"""Size of intervals."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.metrics.intervals import interval_metrics
from octodon.metrics.intervals._ends import Row, better, per_target


@interval_metrics.register("width")
@better("lower")
def width(
    lower: Float[ndarray, "n t"], upper: Float[ndarray, "n t"], truth: Float[ndarray, "n t"], level: float
) -> Float[ndarray, " t"]:
    """Return the mean of upper - lower per target, in units of the target; rows without a truth are left out."""
    return per_target(_width, lower, upper, truth, level)


def _width(lower: Row, upper: Row, truth: Row) -> float:
    return float(np.mean(upper - lower))
