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
from octodon.metrics.uncertainty.ause import risk_coverage
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


RISK_COLUMNS = ("model", "index", "target", "order", "kept", "rmse")
RISK_POINTS = 100


def risk_curves(
    predictions: Sequence[tuple[str, int, Prediction]],
    measured: Float[ndarray, "n t"],
    n_replicates: int | Real[ndarray, "n t"] = 1,
) -> pd.DataFrame:
    """Return the root mean squared error of the rows kept, the most certain first: risk against coverage; `RISK_COLUMNS`.

    ``order`` names what ranks the rows: the model's own stds ("epistemic", "aleatoric", "total"), and "error", the oracle
    that knows the errors. ``kept`` is the share of rows, up to 1, at 100 points. Rows without a measurement are left out; a
    target without any has no rows.
    """
    rows = []
    for model, index, prediction in predictions:
        for t, target in enumerate(prediction.target_names):
            present = ~np.isnan(measured[:, t])
            if not present.any():
                continue
            squares = np.square(prediction.mean[present, t].astype(np.float64) - measured[present, t])
            orders = {
                name: std for name, std in spread_of(prediction, n_replicates).items() if std is not None
            }
            ranks = {name: std[present, t] for name, std in orders.items()} | {"error": np.sqrt(squares)}
            at = np.unique(np.ceil(np.arange(1, RISK_POINTS + 1) / RISK_POINTS * len(squares)).astype(int))
            for order, rank in ranks.items():
                risk = np.sqrt(risk_coverage(squares, rank)[at - 1])
                kept = at / len(squares)
                rows += [(model, index, target, order, *point) for point in zip(kept, risk, strict=True)]
    return pd.DataFrame(rows, columns=list(RISK_COLUMNS))


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
