"""Area under the sparsification error, and the risk-coverage curve behind it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.metrics.uncertainty import uncertainty_metrics
from octodon.metrics.uncertainty._spread import Row, better, per_target


@uncertainty_metrics.register("ause")
@better("lower")
def ause(
    mean: Float[ndarray, "n t"], std: Float[ndarray, "n t"], truth: Float[ndarray, "n t"]
) -> Float[ndarray, " t"]:
    """Return the area between two risk-coverage curves per target, without unit.

    Rows are kept from the most certain on; the risk is the mean squared error of those kept, divided by that of all
    rows. Subtracted is the curve of an oracle that orders rows by the error itself; 0 = as good as the oracle, about
    0.8 for a std without information (Ilg et al. 2018, section 4.3). Rows of equal std are kept together, each
    at the mean error of its group. NaN where there is no error at all.
    """
    return per_target(_ause, mean, std, truth)


def risk_coverage(squares: Row, std: Row) -> Row:
    """Return the mean squared error of the 1, 2, ..., n rows of smallest std; ties share their group's mean error."""
    _, group, count = np.unique(std, return_inverse=True, return_counts=True)
    shared = (np.bincount(group, weights=squares) / count)[group]
    kept = shared[np.argsort(group, kind="stable")]
    return np.cumsum(kept) / np.arange(1, len(kept) + 1)


def _ause(mean: Row, std: Row, truth: Row) -> float:
    squares = np.square(truth - mean)
    if squares.max() == 0:
        return np.nan
    error = risk_coverage(squares, std) - risk_coverage(squares, np.sqrt(squares))
    return float(np.mean(error) / np.mean(squares))
