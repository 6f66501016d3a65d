"""Whether a student's std has the size of the ensemble's: on average, and where it is small and where it is large."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.metrics._paired import paired_columns

BINS = 10


def std_ratio(student: Float[ndarray, "n t"], ensemble: Float[ndarray, "n t"]) -> Float[ndarray, " t"]:
    """Return the ratio of the root mean variances per target, student over ensemble; 1 is right, NaN for 0 / 0."""
    return np.array([_ratio(s, e) for s, e in paired_columns(student, ensemble)], dtype=np.float64)


def binned_std_error(student: Float[ndarray, "n t"], ensemble: Float[ndarray, "n t"]) -> Float[ndarray, " t"]:
    """Return the mean of |1 - ratio| over 10 bins of equal size by the student's std, per target; lower is better.

    The ratio is that of the ensemble's root mean variance to the student's. A student whose large stds are too small
    and small ones too large has ``std_ratio`` 1, but not this. NaN for fewer than 10 rows.
    """
    values = []
    for said, true in paired_columns(student, ensemble):
        if len(said) < BINS:
            values.append(np.nan)
            continue
        parts = np.array_split(np.argsort(said, kind="stable"), BINS)
        values.append(float(np.mean([abs(1 - _ratio(true[part], said[part])) for part in parts])))
    return np.array(values, dtype=np.float64)


def _ratio(a: Float[ndarray, " k"], b: Float[ndarray, " k"]) -> float:
    above, below = (np.sqrt(np.mean(np.square(x))) if len(x) else np.nan for x in (a, b))
    if below == 0:
        return np.nan if above == 0 else np.inf
    return float(above / below)
