"""What every metric shares: its direction, and the check and pairing of prediction with truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol, cast, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.errors import DataError

Direction = Literal["lower", "higher"]


@runtime_checkable
class Metric(Protocol):
    """A function of (n, t) prediction and truth: one value per target, and which way is better."""

    better: Direction

    def __call__(
        self, prediction: Float[ndarray, "n t"], truth: Float[ndarray, "n t"]
    ) -> Float[ndarray, " t"]:
        """Return the value of each target."""
        ...


def better(direction: Direction) -> Callable[[Callable[..., Any]], Metric]:
    """Return a decorator that writes on a metric which way is better."""

    def mark(function: Callable[..., Any]) -> Metric:
        metric = cast(Metric, function)
        metric.better = direction
        return metric

    return mark


def paired_columns(
    prediction: Float[ndarray, " ..."], truth: Float[ndarray, " ..."]
) -> Iterator[tuple[Float[ndarray, " k"], Float[ndarray, " k"]]]:
    """Yield, target by target, the float64 rows whose truth is present.

    Parameters
    ----------
    prediction, truth : (n, t) arrays
        Of one and the same shape: (n,) beside (n, 1) would broadcast to (n, n) and give a plausible wrong
        number. Truth may be NaN (missing); prediction may not, not even where the truth is missing.

    Raises
    ------
    DataError
        Shapes differ or are not (n, t); a prediction is NaN or infinite; a truth is infinite.
    """
    check_pair(prediction, truth)
    for predicted, true in zip(prediction.T, truth.T, strict=True):
        present = ~np.isnan(true)
        yield predicted[present].astype(np.float64), true[present].astype(np.float64)


def check_pair(prediction: Float[ndarray, " ..."], truth: Float[ndarray, " ..."]) -> None:
    """Refuse a prediction and a truth that cannot be compared; see `paired_columns`."""
    if prediction.shape != truth.shape or prediction.ndim != 2:
        raise DataError(
            f"metric: prediction has shape {prediction.shape}, truth {truth.shape}; "
            "expected the same (rows, targets) for both; add the missing axis or align the rows"
        )
    for name, wrong in (("prediction", ~np.isfinite(prediction)), ("truth", np.isinf(truth))):
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise DataError(
                f"metric: {int(wrong.sum())} of {wrong.size} values of the {name} are not finite "
                f"(first at row {row}, target {column}); expected numbers; find where they arise"
            )
