"""The interval of a model that was not calibrated: what its own std promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from octodon.calibration.calibration import check_prediction
from octodon.errors import DataError
from octodon.records import Prediction, check_level


def gaussian_interval(prediction: Prediction, level: float, *, replicates: int = 1) -> Prediction:
    """Return the prediction with mean +- z total std of a mean of ``replicates``, as the model gives it.

    Raises
    ------
    ConfigError
        A level outside (0, 1).
    DataError
        A model without any std, or a mean or std that is no finite number.
    """
    check_level(level)
    check_prediction(prediction)
    std = prediction.total_std_of_mean(replicates)
    if std is None:
        raise DataError("interval: the model gives no std; calibrate it, which needs none")
    reach = ndtri((1 + level) / 2) * std.astype(np.float64)
    what = "one measurement" if replicates == 1 else f"mean of {replicates} replicates"
    return replace(
        prediction,
        lower=prediction.mean - reach,
        upper=prediction.mean + reach,
        level=level,
        interval=f"gaussian, not calibrated, level {level:g}, {what}",
    )
