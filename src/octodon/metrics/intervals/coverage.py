"""Share of measured values inside their interval."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.metrics.intervals import interval_metrics
from octodon.metrics.intervals._ends import Row, better, per_target


@interval_metrics.register("coverage")
@better("level")
def coverage(
    lower: Float[ndarray, "n t"], upper: Float[ndarray, "n t"], truth: Float[ndarray, "n t"], level: float
) -> Float[ndarray, " t"]:
    """Return the share of rows with lower <= truth <= upper per target, from 0 to 1."""
    return per_target(_coverage, lower, upper, truth, level)


def _coverage(lower: Row, upper: Row, truth: Row) -> float:
    return float(np.mean((lower <= truth) & (truth <= upper)))
