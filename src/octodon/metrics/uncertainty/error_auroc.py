"""How well the std finds the worst tenth of the predictions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import rankdata

from octodon.metrics.uncertainty import uncertainty_metrics
from octodon.metrics.uncertainty._spread import Row, better, per_target


@uncertainty_metrics.register("error_auroc")
@better("higher")
def error_auroc(
    mean: Float[ndarray, "n t"], std: Float[ndarray, "n t"], truth: Float[ndarray, "n t"]
) -> Float[ndarray, " t"]:
    """Return the area under the ROC curve of "the error is among the largest tenth", scored by the std.

    The chance that a row of the worst tenth has a larger std than another row, ties counting half: 0.5 without
    information, 1 where all of them do. NaN for fewer than 10 rows.
    """
    return per_target(_error_auroc, mean, std, truth)


def _error_auroc(mean: Row, std: Row, truth: Row) -> float:
    n, worst = len(truth), len(truth) // 10
    if not worst:
        return np.nan
    chosen = np.argsort(np.abs(truth - mean), kind="stable")[n - worst :]
    # Mann and Whitney: the sum of ranks, less the smallest that it can be, over the number of pairs.
    return float((rankdata(std)[chosen].sum() - worst * (worst + 1) / 2) / (worst * (n - worst)))
