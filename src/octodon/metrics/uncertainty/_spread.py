"""What every metric of a std shares: the check of mean, std and truth, and their rows target by target."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.errors import DataError
from octodon.metrics._paired import Direction, check_pair


@runtime_checkable
class SpreadMetric(Protocol):
    """A function of (n, t) mean, std and truth: one value per target, and which way is better."""

    better: Direction

    def __call__(
        self, mean: Float[ndarray, "n t"], std: Float[ndarray, "n t"], truth: Float[ndarray, "n t"]
    ) -> Float[ndarray, " t"]:
        """Return the value of each target."""
        ...


def better(direction: Direction) -> Callable[[Callable[..., Any]], SpreadMetric]:
    """Return a decorator that writes on a metric which way is better."""

    def mark(function: Callable[..., Any]) -> SpreadMetric:
        metric = cast(SpreadMetric, function)
        metric.better = direction
        return metric

    return mark


Row = Float[ndarray, " k"]


def spread_columns(
    mean: Float[ndarray, " ..."], std: Float[ndarray, " ..."], truth: Float[ndarray, " ..."]
) -> Iterator[tuple[Row, Row, Row]]:
    """Yield, target by target, the float64 rows whose truth is present.

    Raises
    ------
    DataError
        Shapes differ or are not (n, t); a mean or std is not finite; a std is negative; a truth is infinite.
    """
    check_pair(mean, truth)
    check_pair(std, truth)
    if (std < 0).any():
        row, column = np.argwhere(std < 0)[0]
        raise DataError(
            f"metric: {int((std < 0).sum())} of {std.size} stds are negative (first at row {row}, target {column}); "
            "expected 0 or more; clip them where the head is read out"
        )
    for target in range(truth.shape[1]):
        present = ~np.isnan(truth[:, target])
        columns = (values[present, target].astype(np.float64) for values in (mean, std, truth))
        yield cast(tuple[Row, Row, Row], tuple(columns))


def per_target(
    function: Callable[[Row, Row, Row], float],
    mean: Float[ndarray, "n t"],
    std: Float[ndarray, "n t"],
    truth: Float[ndarray, "n t"],
) -> Float[ndarray, " t"]:
    """Return ``function`` of each target's rows; NaN for a target without a single one."""
    columns = spread_columns(mean, std, truth)
    return np.array([function(m, s, y) if len(y) else np.nan for m, s, y in columns], dtype=np.float64)
