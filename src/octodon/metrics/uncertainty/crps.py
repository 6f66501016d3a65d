"""Continuous ranked probability score."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import ndtr

from octodon.metrics.uncertainty import uncertainty_metrics
from octodon.metrics.uncertainty._spread import Row, better, per_target


@uncertainty_metrics.register("crps")
@better("lower")
def crps(
    mean: Float[ndarray, "n t"], std: Float[ndarray, "n t"], truth: Float[ndarray, "n t"]
) -> Float[ndarray, " t"]:
    """Return the mean CRPS of the Gaussian per target, in units of the target.

    std (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = (truth - mean) / std (Gneiting and Raftery 2007, eq. 21, with
    the sign that makes lower better). For std = 0 it is the absolute error, its limit.
    """
    return per_target(_crps, mean, std, truth)


def _crps(mean: Row, std: Row, truth: Row) -> float:
    error = truth - mean
    certain = std == 0
    width = np.where(certain, 1.0, std)
    z = error / width
    density = np.exp(-0.5 * np.square(z)) / np.sqrt(2 * np.pi)
    score = width * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return float(np.mean(np.where(certain, np.abs(error), score)))
