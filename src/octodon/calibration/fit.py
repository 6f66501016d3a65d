"""Make a calibration from a prediction and what was measured."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.calibration._rows import Method
from octodon.calibration.calibration import (
    Calibration,
    check_prediction,
    parts_of,
    rows_per_target,
    scales_noise,
)
from octodon.calibration.methods import methods
from octodon.errors import ConfigError, DataError
from octodon.records import Prediction, check_level
from octodon.registry import suggest
from octodon.seeds import derive_seed

MIN_ROWS = 50
"""Calibration rows below which nothing is learnt: with 50, coverage at 0.9 already varies by 4 points (one sd)."""

DEFAULT_METHOD = "normalised"


def fit_calibration(
    prediction: Prediction,
    measured: Float[ndarray, "n t"],
    *,
    method: str = DEFAULT_METHOD,
    level: float = 0.9,
    replicates: int | ndarray | None = None,
    ood_score: Float[ndarray, " n"] | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Calibration:
    """Return what a method learns from predictions and measurements of rows that no network has seen.

    Parameters
    ----------
    prediction : Prediction
        Of the calibration rows; an interval or calibrated std in it is not looked at.
    measured : (n, t) array
        In the units of the prediction; NaN = missing, left out target by target.
    method : str
        Name in the registry of methods.
    level : float
        Default level of the intervals; there must be enough rows for it.
    replicates : int, (n, t) array or None
        Of how many replicates each measured value is the mean. Of an array, the commonest count of each target is what
        intervals are for by default. Methods that scale the noise ("components", "scaling") take each row's own count;
        those that rank errors take the commonest for all rows, so that their scores stay exchangeable with those of new
        values, measured now more often and now less. None = not known.
    ood_score : (n,) array, optional
        For "mondrian_ood". Default: that of the prediction.
    options : mapping, optional
        Options of the method.
    seed : int
        For methods that learn one part of their numbers on some rows and the rest on the others.

    Raises
    ------
    ConfigError
        An unknown method or option, or a level outside (0, 1).
    DataError
        Shapes that differ, values that are not finite, a negative std, fewer than 50 rows, too few for the level.
    """
    check_level(level)
    check_prediction(prediction)
    chosen, given = methods[method], _options(method, dict(options or {}))
    if measured.shape != prediction.mean.shape:
        raise DataError(
            f"calibration: measured has shape {measured.shape}, predicted {prediction.mean.shape}; expected the same "
            f"(rows, targets)"
        )
    if np.isinf(measured).any():
        raise DataError("calibration: a measured value is infinite; expected numbers, NaN where missing")
    present = ~np.isnan(measured)
    ood_score = prediction.ood_score if ood_score is None else ood_score
    typical, counts = _counts(replicates, present)
    counts = counts if scales_noise(method) else typical
    per_target: list[Method] = []
    for target, rows in enumerate(rows_per_target(prediction, counts, ood_score)):
        name, kept = prediction.target_names[target], present[:, target]
        if kept.sum() < MIN_ROWS:
            raise DataError(
                f"calibration: {int(kept.sum())} rows with a measured {name!r}, expected at least {MIN_ROWS}; set more "
                f"rows aside"
            )
        residual = measured[kept, target].astype(np.float64) - rows.mean[kept]
        if "seed" in inspect.signature(chosen.fit).parameters:
            given["seed"] = derive_seed(seed, "calibration", target)
        try:
            fitted = chosen.fit(rows.take(kept), residual, **given)
            fitted.offsets(rows.take(kept), level)  # enough rows for the level?
        except DataError as error:
            raise type(error)(f"{name}: {error}") from None
        per_target.append(fitted)
    return Calibration(
        method=method,
        target_names=prediction.target_names,
        per_target=tuple(per_target),
        parts=parts_of(prediction),
        replicates=typical,
        level=level,
        n_rows=tuple(int(count) for count in present.sum(axis=0)),
    )


def check_options(method: str, options: Mapping[str, Any]) -> None:
    """Refuse an unknown method or an option that it does not have."""
    _options(method, dict(options))


def _options(method: str, options: dict[str, Any]) -> dict[str, Any]:
    known = [
        name
        for name in inspect.signature(methods[method].fit).parameters
        if name not in ("rows", "residual", "seed")
    ]
    for name, value in options.items():
        if name not in known:
            hint = suggest(name, known) if known else "it has none"
            raise ConfigError(f"calibration by {method}: no option {name!r}; {hint}")
        if name == "scale" and value not in ("total", "components"):
            raise ConfigError(f"calibration by {method}: scale = {value!r}; expected 'total' or 'components'")
        if name == "bins" and (not isinstance(value, int) or value < 2):
            raise ConfigError(f"calibration by {method}: bins = {value!r}; expected a whole number from 2")
    return options


def _counts(
    replicates: int | ndarray | None, present: ndarray
) -> tuple[tuple[int, ...] | None, ndarray | tuple[int, ...] | None]:
    """Return R per target, that of most rows, and R per row; where nothing was measured the count is not used, and 1."""
    if replicates is None:
        return None, None
    if not isinstance(replicates, np.ndarray):
        if replicates < 1:
            raise ConfigError(f"replicates: {replicates}; expected 1 or more")
        each = (replicates,) * present.shape[1]
        return each, each
    if replicates.shape != present.shape:
        raise DataError(
            f"calibration: replicates has shape {replicates.shape}, expected {present.shape}: one per row and target"
        )
    commonest = []
    for counts, known in zip(replicates.T, present.T, strict=True):
        values, frequency = np.unique(counts[known], return_counts=True)
        commonest.append(int(values[frequency.argmax()]) if len(values) else 1)
    return tuple(commonest), np.where(present, replicates, 1)
