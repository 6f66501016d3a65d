"""What a model with or without a calibration answers: one place, for students, ensembles and files of sequences."""

from __future__ import annotations

from octodon.calibration.calibration import Calibration, raw
from octodon.calibration.gaussian import gaussian_interval
from octodon.errors import DataError
from octodon.records import Prediction


def answer(
    prediction: Prediction,
    calibration: Calibration | None,
    *,
    level: float | None = None,
    calibrated: bool = True,
) -> Prediction:
    """Return the prediction with its interval.

    With a calibration, the interval and std that it makes, at ``level`` or its own. Without one, no interval, unless
    ``calibrated`` is False and a level is given: then mean +- z std of one measurement, as the model promises it.

    Raises
    ------
    ConfigError
        A level outside (0, 1).
    DataError
        A level where there is no calibration and none was waived.
    """
    plain = raw(prediction)
    if not calibrated:
        return plain if level is None else gaussian_interval(plain, level)
    if calibration is not None:
        return calibration.apply(plain, level)
    if level is None:
        return plain
    raise DataError(
        f"level {level}: the model is not calibrated; run octodon calibrate, or use --uncalibrated (in Python "
        f"calibrated=False) for mean +- z std"
    )
