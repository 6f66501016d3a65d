"""Calibrate a student or an ensemble on examples that none of its networks has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from octodon.calibration.calibration import Calibration, raw
from octodon.calibration.fit import DEFAULT_METHOD, fit_calibration
from octodon.data.calibration_rows import CALIBRATION, refuse_seen
from octodon.data.examples import Examples
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.errors import ConfigError, DataError
from octodon.records import Prediction

Model = TypeVar("Model", bound=Student | Ensemble)


def calibrate(
    model: Model,
    data: Examples,
    *,
    method: str = DEFAULT_METHOD,
    level: float = 0.9,
    options: Mapping[str, Any] | None = None,
    device: str = "auto",
    seed: int = 0,
) -> Model:
    """Return the model with a calibration, which ``predict`` applies and ``save`` keeps.

    Parameters
    ----------
    model : Student or Ensemble
    data : Examples
        With a split: its rows called "calibration" are used, and refused if rows of train or valid are related to
        them. Without one: all rows, which only the caller can know to be unseen.
    method : str
        See ``octodon list calibrations``.
    level : float
        Of the intervals where ``predict`` names none.
    options : mapping, optional
        Options of the method.
    device : str
        "auto" (a GPU where there is one), "cpu" or "cuda".
    seed : int

    Raises
    ------
    ConfigError
        An unknown method or option, a level outside (0, 1), or a method that needs more than the sequences.
    DataError
        Other targets than the model's, no calibration rows, too few, or some that a network knows.
    """
    if method == "mondrian_ood" and model.detector is None:
        raise ConfigError(
            "calibrate: 'mondrian_ood' needs an out-of-distribution score of every sequence, which this model does not "
            "give; fit a detector first (octodon ood), or use 'mondrian_activity'"
        )
    if data.target_names != model.target_names:
        raise DataError(
            f"calibrate: the model predicts {model.target_names}, the data have {data.target_names}; give the same targets "
            f"in that order"
        )
    rows = calibration_rows(data)
    prediction = model.predict(rows.codes, [str(name) for name in rows.ids], device=device, calibrated=False)
    made = calibration_of(prediction, rows, method=method, level=level, options=options, seed=seed)
    return replace(model, calibration=made)


def calibration_rows(data: Examples) -> Examples:
    """Return the calibration rows of examples with a split, all rows of examples without one; see ``calibrate``."""
    if data.splits is None:
        return data
    if not (data.splits == CALIBRATION).any():
        found = ", ".join(sorted({str(name) for name in np.unique(data.splits)}))
        raise DataError(
            f"calibrate: no rows in the split 'calibration' (splits: {found}); valid stopped the training early and test is "
            f"for the verdict: name rows of neither, or set some of valid aside before training (octodon.set_aside_calibration)"
        )
    refuse_seen(data)
    return data.subset(CALIBRATION)


def calibration_of(
    prediction: Prediction,
    rows: Examples,
    *,
    method: str,
    level: float,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Calibration:
    """Return the calibration of a prediction of these rows, whose number of replicates counts where it is known."""
    return fit_calibration(
        raw(prediction),
        rows.targets.astype(np.float64),
        method=method,
        level=level,
        replicates=rows.n_replicates,
        options=options,
        seed=seed,
    )
