"""Sharpness."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.metrics.uncertainty import uncertainty_metrics
from octodon.metrics.uncertainty._spread import Row, better, per_target


@uncertainty_metrics.register("sharpness")
@better("lower")
def sharpness(
    mean: Float[ndarray, "n t"], std: Float[ndarray, "n t"], truth: Float[ndarray, "n t"]
) -> Float[ndarray, " t"]:
    """Return the root of the mean predicted variance per target, in units of the target.

    Lower is better only among predictions that are calibrated (Gneiting et al. 2007): sharpness knows no truth, whose
    only part is to leave out rows that were not measured (uncertainty-toolbox, ``sharpness``).
    """
    return per_target(_sharpness, mean, std, truth)


def _sharpness(mean: Row, std: Row, truth: Row) -> float:
    return float(np.sqrt(np.mean(np.square(std))))
