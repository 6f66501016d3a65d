"""What every metric of an interval shares: the check of its ends, and their rows target by target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, cast, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.errors import DataError
from octodon.metrics._paired import check_pair
from octodon.records import check_level

Aim = Literal["lower", "level"]
Row = Float[ndarray, " k"]


@runtime_checkable
class IntervalMetric(Protocol):
    """A function of (n, t) interval ends and truth; ``better``: lower, or nearer to the level."""

    better: Aim

    def __call__(
        self,
        lower: Float[ndarray, "n t"],
        upper: Float[ndarray, "n t"],
        truth: Float[ndarray, "n t"],
        level: float,
    ) -> Float[ndarray, " t"]:
        """Return the value of each target."""
        ...


def better(aim: Aim) -> Callable[[Callable[..., Any]], IntervalMetric]:
    """Return a decorator that writes on a metric what is better."""

    def mark(function: Callable[..., Any]) -> IntervalMetric:
        metric = cast(IntervalMetric, function)
        metric.better = aim
        return metric

    return mark


def per_target(
    function: Callable[[Row, Row, Row], float],
    lower: Float[ndarray, " ..."],
    upper: Float[ndarray, " ..."],
    truth: Float[ndarray, " ..."],
    level: float,
) -> Float[ndarray, " t"]:
    """Return ``function`` of each target's rows with a truth; NaN for a target without a single one.

    Raises
    ------
    ConfigError
        A level outside (0, 1).
    DataError
        Shapes that differ, ends that are not finite, or a lower end above the upper.
    """
    check_level(level)
    check_pair(lower, truth)
    check_pair(upper, truth)
    if (lower > upper).any():
        row, column = np.argwhere(lower > upper)[0]
        raise DataError(
            f"metric: {int((lower > upper).sum())} of {lower.size} intervals have their lower end above the upper "
            f"(first at row {row}, target {column}); expected lower <= upper; correct what made them"
        )
    values = []
    for target in range(truth.shape[1]):
        present = ~np.isnan(truth[:, target])
        columns = [ends[present, target].astype(np.float64) for ends in (lower, upper, truth)]
        values.append(function(*columns) if present.any() else np.nan)
    return np.array(values, dtype=np.float64)
