"""Area between the reliability curve and the diagonal."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import ndtri

from octodon.metrics.uncertainty import uncertainty_metrics
from octodon.metrics.uncertainty._spread import Row, better, per_target

# As uncertainty-toolbox: 100 levels from 0 to 1.
LEVELS = np.linspace(0, 1, 100)


@uncertainty_metrics.register("miscalibration_area")
@better("lower")
def miscalibration_area(
    mean: Float[ndarray, "n t"], std: Float[ndarray, "n t"], truth: Float[ndarray, "n t"]
) -> Float[ndarray, " t"]:
    """Return the area between expected and observed coverage of central intervals per target, from 0 to 0.5.

    Both are taken at 100 levels from 0 to 1 and joined by lines; where they cross, both triangles count
    (uncertainty-toolbox, ``miscalibration_area`` with ``prop_type="interval"``; Kuleshov et al. 2018, eq. 9).
    """
    return per_target(_area, mean, std, truth)


def observed_coverage(mean: Row, std: Row, truth: Row, levels: Float[ndarray, " q"]) -> Float[ndarray, " q"]:
    """Return the share of rows within the central Gaussian interval of each level."""
    error = np.abs(truth - mean)
    # Rows enter one after the other as z grows: their own z is found once, not per level.
    needed = np.divide(error, std, out=np.where(error > 0, np.inf, 0.0), where=std > 0)
    reach = ndtri((1 + levels) / 2)
    return np.searchsorted(np.sort(needed), reach, side="right") / len(truth)


def _area(mean: Row, std: Row, truth: Row) -> float:
    gap = observed_coverage(mean, std, truth, LEVELS) - LEVELS
    left, right = gap[:-1], gap[1:]
    step = LEVELS[1] - LEVELS[0]
    crossing = left * right < 0
    # Two triangles whose bases are shares of the step: (left^2 + right^2) / (2 (|left| + |right|)).
    total = np.abs(left) + np.abs(right)
    triangles = (np.square(left) + np.square(right)) / np.where(total > 0, total, 1.0)
    return float(np.sum(np.where(crossing, triangles, total)) * step / 2)
