"""Points of curves: coverage and width along the level, and observed against expected shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Real
from numpy import ndarray

from octodon.metrics.intervals import interval_metrics
from octodon.metrics.pearson import pearson
from octodon.metrics.spread import LEVELS, Scored, interval_of, spread_of
from octodon.records import Prediction

CURVE_COLUMNS = ("model", "index", "target", "quantity", "method", "level", "coverage", "width", "pearson")
CURVE_LEVELS = tuple(sorted({round(level, 3) for level in np.linspace(0.05, 0.95, 19)} | set(LEVELS)))


def interval_curves(
    scored: Sequence[Scored],
    measured: Float[ndarray, "n t"],
    n_replicates: int | Real[ndarray, "n t"] = 1,
    levels: Sequence[float] = CURVE_LEVELS,
) -> pd.DataFrame:
    """Return coverage and mean width of each model's intervals at each level; `CURVE_COLUMNS`.

    ``calibrated`` of each model must have been applied at these levels. ``pearson`` is that of the model's mean, the
    same at all levels; ``method`` names what made the interval.
    """
    rows = []
    for one in scored:
        accuracy = pearson(one.prediction.mean, measured)
        stds = spread_of(one.prediction, n_replicates)
        if one.calibrated:
            stds["calibrated"] = one.calibrated[0].calibrated_std
        for quantity, std in stds.items():
            if std is None:
                continue
            method = _method(one) if quantity == "calibrated" else "gaussian"
            for level in levels:
                lower, upper = interval_of(one, quantity, std, level)
                covered = interval_metrics["coverage"](lower, upper, measured, level)
                widths = interval_metrics["width"](lower, upper, measured, level)
                for t, target in enumerate(one.prediction.target_names):
                    values = (float(covered[t]), float(widths[t]), float(accuracy[t]))
                    rows.append((one.model, one.index, target, quantity, method, level, *values))
    return pd.DataFrame(rows, columns=list(CURVE_COLUMNS))


def at_levels(
    apply: Callable[[Prediction, float], Prediction],
    prediction: Prediction,
    levels: Sequence[float] = CURVE_LEVELS,
) -> tuple[Prediction, ...]:
    """Return the prediction calibrated once per level."""
    return tuple(apply(prediction, level) for level in levels)


def _method(one: Scored) -> str:
    name = one.calibrated[0].interval
    return "calibrated" if name is None else name.split(",")[0]
