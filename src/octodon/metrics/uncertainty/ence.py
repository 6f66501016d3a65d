"""Expected normalised calibration error."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.metrics.uncertainty import uncertainty_metrics
from octodon.metrics.uncertainty._spread import Row, better, per_target

BINS = 10


@uncertainty_metrics.register("ence")
@better("lower")
def ence(
    mean: Float[ndarray, "n t"], std: Float[ndarray, "n t"], truth: Float[ndarray, "n t"]
) -> Float[ndarray, " t"]:
    """Return the expected normalised calibration error per target, without unit.

    Rows are sorted by std and cut into 10 bins of equal size; in each, |rmv - rmse| / rmv with rmv = root of the
    mean variance and rmse = root of the mean squared error; then the mean over bins (Levi et al. 2020, eq. 8). Not
    zero for a perfect std either, but about 0.56 sqrt(1 / k) for bins of k rows: compare sets of one size. Rows of
    one and the same std stay in the order given, so that for a constant std it is noise. NaN for fewer rows than
    bins; infinity where a bin's stds are all zero.
    """
    return per_target(_ence, mean, std, truth)


def _ence(mean: Row, std: Row, truth: Row) -> float:
    if len(truth) < BINS:
        return np.nan
    order = np.argsort(std, kind="stable")
    squares, variances = np.square(truth - mean)[order], np.square(std)[order]
    errors = []
    for square, variance in zip(np.array_split(squares, BINS), np.array_split(variances, BINS), strict=True):
        promised, seen = np.sqrt(variance.mean()), np.sqrt(square.mean())
        errors.append(abs(promised - seen) / promised if promised > 0 else np.inf)
    return float(np.mean(errors))
