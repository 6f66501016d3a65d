"""The uncertainty of every model against what was measured: rows for the tidy results table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Real
from numpy import ndarray
from scipy.special import ndtri

from octodon.errors import DataError
from octodon.metrics.intervals import interval_metrics
from octodon.metrics.std_agreement import binned_std_error, std_ratio
from octodon.metrics.tables import COLUMNS
from octodon.metrics.uncertainty import uncertainty_metrics
from octodon.records import Prediction

LEVELS = (0.5, 0.8, 0.9, 0.95)
RANKING = ("error_spearman", "ause", "error_auroc")
"""Metrics of how well a std orders errors, whatever its size."""
_SIZE = (std_ratio, binned_std_error)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """One model whose uncertainty is scored.

    Attributes
    ----------
    model, index : str, int
        As in the results table.
    prediction : Prediction
        With the stds as the model gives them; its ``calibrated_std`` and interval are not looked at.
    calibrated : sequence of Prediction
        The same prediction calibrated, once per level; empty where it was not.
    """

    model: str
    index: int
    prediction: Prediction
    calibrated: Sequence[Prediction] = ()


def evaluate_spread(
    scored: Sequence[Scored],
    *,
    split: str,
    measured: Float[ndarray, "n t"],
    n_replicates: int | Real[ndarray, "n t"] = 1,
    levels: Sequence[float] = LEVELS,
) -> pd.DataFrame:
    """Return rows of the results table: how each std and interval of each model fits the errors of its mean.

    Quantities are "epistemic", "aleatoric" and "total", the model's own stds, whose intervals are Gaussian, and
    "calibrated", with the intervals that its calibration made. Each has all metrics of a std, and per level
    ``coverage_0.9``, ``width_0.9``, ``interval_score_0.9``.

    Parameters
    ----------
    measured : (n, t) array
        NaN = missing, left out target by target.
    n_replicates : int or (n, t) array
        Of how many replicates each measured value is the mean: the aleatoric std counts with its share of that mean.

    Raises
    ------
    DataError
        Shapes that differ, or a mean or std that is no number.
    """
    rows: list[tuple[str, int, str, str, str, str, float]] = []
    for one in scored:
        stds = spread_of(one.prediction, n_replicates)
        if one.calibrated:
            stds["calibrated"] = one.calibrated[0].calibrated_std
        for quantity, std in stds.items():
            if std is None:
                continue
            try:
                values = _std_values(one.prediction.mean, std, measured)
                values |= _interval_values(one, quantity, std, measured, levels)
            except DataError as error:
                raise DataError(f"{split}: {one.model} {one.index}, {quantity}: {error}") from error
            for metric, per_target in values.items():
                for target, value in zip(one.prediction.target_names, per_target, strict=True):
                    rows.append((one.model, one.index, split, target, quantity, metric, float(value)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def student_spread(
    students: Sequence[Prediction],
    ensemble: Prediction,
    *,
    split: str,
    measured: Float[ndarray, "n t"] | None = None,
) -> pd.DataFrame:
    """Return rows of the results table: each student's epistemic std beside the ensemble's, and beside ITS errors.

    Metrics ``std_ratio`` and ``binned_std_error``; with ``measured``, also ``ensemble_error_spearman``, ``ensemble_ause``
    and ``ensemble_error_auroc``: whether the student's std tells where the ensemble's mean is wrong (the same metrics
    without the prefix ask that of the student's own mean). No row where either gives no epistemic std.

    Parameters
    ----------
    measured : (n, t) array, optional
        NaN = missing.
    """
    rows = []
    for index, student in enumerate(students):
        if student.epistemic_std is None or ensemble.epistemic_std is None:
            continue
        values = {m.__name__: m(student.epistemic_std, ensemble.epistemic_std) for m in _SIZE}
        if measured is not None:
            for name in RANKING:
                of_ensemble = uncertainty_metrics[name](ensemble.mean, student.epistemic_std, measured)
                values[f"ensemble_{name}"] = of_ensemble
        for metric, per_target in values.items():
            for target, value in zip(student.target_names, per_target, strict=True):
                rows.append(("student", index, split, target, "epistemic", metric, float(value)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def spread_of(
    prediction: Prediction, n_replicates: int | Real[ndarray, "n t"] = 1
) -> dict[str, Float[ndarray, "n t"] | None]:
    """Return the model's own stds around a mean of replicates, by quantity; None where it does not give one."""
    both = prediction.epistemic_std is not None and prediction.aleatoric_std is not None
    return {
        "epistemic": prediction.epistemic_std,
        "aleatoric": prediction.noise_of_mean(n_replicates),
        # with one part alone, the total is that part
        "total": prediction.total_std_of_mean(n_replicates) if both else None,
    }


def interval_of(
    one: Scored, quantity: str, std: Float[ndarray, "n t"], level: float
) -> tuple[Float[ndarray, "n t"], Float[ndarray, "n t"]]:
    """Return the ends of a model's interval: those of its calibration, or mean +- z std."""
    if quantity != "calibrated":
        reach = ndtri((1 + level) / 2) * std.astype(np.float64)
        return one.prediction.mean - reach, one.prediction.mean + reach
    for prediction in one.calibrated:
        if prediction.level == level and prediction.lower is not None and prediction.upper is not None:
            return prediction.lower, prediction.upper
    raise DataError(f"no calibrated interval of level {level}; apply the calibration at every level")


def _std_values(mean: ndarray, std: ndarray, measured: ndarray) -> dict[str, ndarray]:
    return {name: uncertainty_metrics[name](mean, std, measured) for name in uncertainty_metrics}


def _interval_values(
    one: Scored, quantity: str, std: ndarray, measured: ndarray, levels: Sequence[float]
) -> dict[str, ndarray]:
    values = {}
    for level in levels:
        lower, upper = interval_of(one, quantity, std, level)
        for name in interval_metrics:
            values[f"{name}_{level:g}"] = interval_metrics[name](lower, upper, measured, level)
    return values
