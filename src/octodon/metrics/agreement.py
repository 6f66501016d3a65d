"""How alike the members of an ensemble are: too alike, and their spread says nothing."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.errors import DataError
from octodon.metrics.pearson import unit_deviation
from octodon.records import MemberPredictions


def pairwise_pearson(members: MemberPredictions) -> Float[ndarray, "t m m"]:
    """Return Pearson's r between the activities that every two members predict, per target.

    Symmetric, one on the diagonal; the row and column of a member that predicts a constant are NaN. One
    outside the diagonal means two members that are the same network up to scale.

    Raises
    ------
    DataError
        A member's prediction is NaN or infinite.
    """
    mean = members.mean.astype(np.float64)
    if not np.isfinite(mean).all():
        member, row, target = np.argwhere(~np.isfinite(mean))[0]
        raise DataError(
            f"members: the prediction of member {member} is not finite (first at row {row}, "
            f"target {members.target_names[target]!r}); expected numbers; retrain or leave out that member"
        )
    matrices = []
    for target in range(len(members.target_names)):
        deviation = np.array([unit_deviation(values) for values in mean[:, :, target]])
        matrices.append(np.clip(deviation @ deviation.T, -1.0, 1.0))
    return np.array(matrices)


def mean_over_pairs(matrix: Float[ndarray, "t m m"]) -> Float[ndarray, " t"]:
    """Return the mean over the m (m - 1) / 2 pairs per target; NaN for one member or if one pair is NaN."""
    first, second = np.triu_indices(matrix.shape[1], k=1)
    if not len(first):
        return np.full(len(matrix), np.nan)
    return matrix[:, first, second].mean(axis=1)
