"""What a calibration method sees of one target, what it is, and the rank that makes a conformal interval exact."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.errors import DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """One target of a prediction, for a measured value that is the mean of R replicates.

    Attributes
    ----------
    mean : (n,) array
    epistemic_std : (n,) array or None
    noise_std : (n,) array or None
        Aleatoric std of the MEAN of R replicates.
    total_std : (n,) array or None
        Of both, by the law of total variance; None where the model gives neither.
    ood_score : (n,) array or None
        How unlike the training data each sequence is, higher = less alike.
    """

    mean: Float[ndarray, " n"]
    epistemic_std: Float[ndarray, " n"] | None = None
    noise_std: Float[ndarray, " n"] | None = None
    total_std: Float[ndarray, " n"] | None = None
    ood_score: Float[ndarray, " n"] | None = None

    def take(self, chosen: ndarray) -> Rows:
        """Return the rows chosen by a mask or an index."""
        fields = ("epistemic_std", "noise_std", "total_std", "ood_score")
        parts = {name: None if (v := getattr(self, name)) is None else v[chosen] for name in fields}
        return Rows(mean=self.mean[chosen], **parts)


@runtime_checkable
class Method(Protocol):
    """One way to calibrate one target."""

    conformal: ClassVar[bool]

    @classmethod
    def fit(cls, rows: Rows, residual: Float[ndarray, " n"]) -> Method:
        """Learn from residuals, measured - predicted; further parameters are options with defaults."""
        ...

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Method:
        """Rebuild from the numbers of ``to_plain``."""
        ...

    def to_plain(self) -> dict[str, Any]:
        """Return what was learnt as JSON holds it."""
        ...

    def std(self, rows: Rows) -> Float[ndarray, " n"]:
        """Return the std of the measured value around the mean."""
        ...

    def offsets(self, rows: Rows, level: float) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
        """Return what to add to the mean for the lower and for the upper end of the interval."""
        ...


class NoStd(DataError):
    """A method that scales the model's std was given a model that says none, or zeros."""


def total_std(rows: Rows) -> Float[ndarray, " n"]:
    """Return the total std of a model that gives one; a DataError otherwise."""
    if rows.total_std is None:
        raise NoStd(
            "calibration: the model gives no std to scale; use the method 'split' or 'components', which need none"
        )
    return rows.total_std


def positive_std(rows: Rows) -> Float[ndarray, " n"]:
    """Return the total std if it can be divided by; a DataError where some are zero."""
    std = total_std(rows)
    zero = int((std == 0).sum())
    if zero:
        raise NoStd(
            f"calibration: {zero} of {len(std)} total stds are zero (a linear head is cut there), so that no error can "
            f"be expressed in them; use the method 'components' or 'split'"
        )
    return std


def score_at(scores: Float[ndarray, " n"], level: float, where: str = "") -> float:
    """Return the ceil((n + 1) level)-th smallest score: a new one lies at or below it with probability >= level.

    Exact for exchangeable scores, whatever their distribution (Vovk et al. 2005, section 2.2; Lei et al. 2018,
    theorem 2.2). The rank is taken of the level as written: in floating point, ceil(10 * 0.9) may be 10.

    Parameters
    ----------
    scores : (n,) array
        Ascending.

    Raises
    ------
    DataError
        Where the rank exceeds n: only an infinite interval would have that level.
    """
    n = len(scores)
    rank = math.ceil((n + 1) * _as_written(level))
    if rank > n:
        raise DataError(
            f"level {level}: {n} calibration rows{where} allow at most {n / (n + 1):.4g}, beyond that the interval is "
            f"infinite; use more calibration rows, fewer cells or a lower level"
        )
    return float(scores[rank - 1])


def two_sided(scores: Float[ndarray, " n"], level: float) -> tuple[float, float]:
    """Return the quantiles of signed scores that leave (1 - level) / 2 on either side.

    The i-th smallest of n scores stands for the probability i / (n + 1), and lines join them: a new score's
    expected probability below the i-th is exactly that.

    Raises
    ------
    DataError
        Where the tails are beyond the smallest and largest score.
    """
    n = len(scores)
    tail = (1 - _as_written(level)) / 2
    if (n + 1) * tail < 1:
        raise DataError(
            f"level {level}: {n} calibration rows allow at most {1 - 2 / (n + 1):.4g} with two tails, beyond that the "
            f"interval is infinite; use more calibration rows or a lower level"
        )
    probability = np.arange(1, n + 1) / (n + 1)
    below, above = np.interp([float(tail), float(1 - tail)], probability, scores)
    return float(below), float(above)


def ascending(scores: Float[ndarray, " n"]) -> tuple[float, ...]:
    """Return sorted scores as plain numbers."""
    return tuple(np.sort(scores.astype(np.float64)).tolist())


def _as_written(level: float) -> Fraction:
    return Fraction(repr(float(level)))
