"""Mean squared error."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.metrics import better, metrics
from octodon.metrics._paired import paired_columns


@metrics.register("mse")
@better("lower")
def mse(prediction: Float[ndarray, "n t"], truth: Float[ndarray, "n t"]) -> Float[ndarray, " t"]:
    """Return the mean squared difference per target, in squared units of the target.

    Rows whose truth is NaN are left out; a target without a single row gives NaN.
    """
    pairs = paired_columns(prediction, truth)
    return np.array([np.square(p - y).mean() if len(y) else np.nan for p, y in pairs], dtype=np.float64)
