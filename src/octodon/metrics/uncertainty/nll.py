"""Negative log-likelihood."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.metrics.uncertainty import uncertainty_metrics
from octodon.metrics.uncertainty._spread import Row, better, per_target


@uncertainty_metrics.register("nll")
@better("lower")
def nll(
    mean: Float[ndarray, "n t"], std: Float[ndarray, "n t"], truth: Float[ndarray, "n t"]
) -> Float[ndarray, " t"]:
    """Return the mean Gaussian negative log-likelihood per target, in nats.

    log(2 pi std^2) / 2 + (truth - mean)^2 / (2 std^2), whose smallest expectation is at the true mean and std. A std
    of zero with a residual has no likelihood: infinity.
    """
    return per_target(_nll, mean, std, truth)


def _nll(mean: Row, std: Row, truth: Row) -> float:
    if (std == 0).any():
        return np.inf
    return float(np.mean(0.5 * np.log(2 * np.pi * np.square(std)) + 0.5 * np.square((truth - mean) / std)))
