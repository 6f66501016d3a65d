"""How well replicates agree, and the best correlation with their mean that a predictor can reach."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.data.examples import Examples
from octodon.data.splits import split_sizes
from octodon.errors import DataError

# Fewer rows say nothing about a correlation.
_MIN_ROWS = 3


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of the replicates of one target in one split.

    Attributes
    ----------
    target, split : str
        ``split`` is "all" for all rows together.
    n_rows : int
        Rows with at least two replicates.
    n_replicates : float
        Replicates behind a measured mean, averaged over the rows that have any.
    harmonic_replicates : float
        Their harmonic mean: by it the noise variance of one replicate is divided to have that of the measured means.
    pearson : float
        Mean over pairs of replicates of the Pearson correlation of the rows that have both; NaN where undefined.
    reliability : float
        Share of the variance of the measured MEAN that repeats, 0 to 1; see ``mean_reliability``.
    ceiling_pearson : float
        The highest Pearson correlation with the measured mean that any predictor can expect; see ``noise_ceiling``.
    """

    target: str
    split: str
    n_rows: int
    n_replicates: float
    harmonic_replicates: float
    pearson: float
    reliability: float
    ceiling_pearson: float


def mean_reliability(pearson: float, n_replicates: float) -> float:
    """Return the reliability of the mean of R replicates whose pairs correlate with r: R r / (1 + (R - 1) r).

    The Spearman-Brown formula (Spearman 1910, Brown 1910, both British Journal of Psychology 3). It takes the noise of
    the replicates as independent and of equal variance. Of rows with unequal R, ``n_replicates`` is their harmonic mean.
    NaN for r below 0: replicates that contradict each other have no reliability to extrapolate.
    """
    if not 0 <= pearson <= 1:
        return math.nan
    return n_replicates * pearson / (1 + (n_replicates - 1) * pearson)


def noise_ceiling(reliability: float) -> float:
    """Return the square root of the reliability: the correlation of the true activity with the measured mean.

    With measured = true + independent noise, r(prediction, measured) = r(prediction, true) * r(true, measured) for a
    prediction that knows nothing of the noise, and r(true, measured)**2 is the reliability (Lord and Novick 1968,
    Statistical Theories of Mental Test Scores, section 3.9: the index of reliability).
    """
    return math.sqrt(reliability) if reliability >= 0 else math.nan


def replicate_agreement(examples: Examples) -> tuple[Agreement, ...]:
    """Return the agreement of every target over all rows and in every split; empty without replicates."""
    if examples.replicates is None or examples.replicates.shape[2] < 2:
        return ()
    parts: dict[str, Any] = {"all": slice(None)}
    if examples.splits is not None:
        parts |= {name: examples.splits == name for name in split_sizes(examples)}
    return tuple(
        _agreement(target, split, examples.replicates[rows, index].astype(np.float64))
        for index, target in enumerate(examples.target_names)
        for split, rows in parts.items()
    )


def require_replicates(examples: Examples, at_least: int = 2) -> None:
    """Refuse examples whose measurement noise cannot be estimated: a row's noise needs two replicates.

    Raises
    ------
    DataError
        Where a target has no row with ``at_least`` replicates.
    """
    counts = examples.n_replicates
    for index, target in enumerate(examples.target_names):
        most = 1 if counts is None else int(counts[:, index].max(initial=0))
        if most < at_least:
            raise DataError(
                f"target {target!r}: at most {most} replicate{'s' * (most != 1)} a row, expected at least {at_least} to "
                f"learn the noise of a measurement; give its replicate columns, or switch the aleatoric part off"
            )


def _agreement(target: str, split: str, replicates: Float[ndarray, "n r"]) -> Agreement:
    present = np.isfinite(replicates)
    count = present.sum(axis=1)
    pairs = itertools.combinations(range(replicates.shape[1]), 2)
    correlations = [_pearson(replicates[:, a], replicates[:, b]) for a, b in pairs]
    known = [r for r in correlations if not math.isnan(r)]
    pearson = sum(known) / len(known) if known else math.nan
    behind = count[count > 0].astype(np.float64)
    mean_count = float(behind.mean()) if len(behind) else 0.0
    # the noise variance of the measured means is sigma^2 * mean(1 / R), which the arithmetic mean of R understates
    harmonic = float(1 / (1 / behind).mean()) if len(behind) else 0.0
    reliability = mean_reliability(pearson, harmonic)
    return Agreement(
        target=target,
        split=split,
        n_rows=int((count > 1).sum()),
        n_replicates=mean_count,
        harmonic_replicates=harmonic,
        pearson=pearson,
        reliability=reliability,
        ceiling_pearson=noise_ceiling(reliability),
    )


def _pearson(a: Float[ndarray, " n"], b: Float[ndarray, " n"]) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < _MIN_ROWS:
        return math.nan
    a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return max(-1.0, min(1.0, float(a @ b) / scale)) if scale > 0 else math.nan
