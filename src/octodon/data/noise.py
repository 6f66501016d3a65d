"""Measurement noise from a few replicates: offsets, shrunken stds, and the spread of the true ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import digamma, polygamma

from octodon.data.examples import Examples
from octodon.errors import DataError

_LEAST_SHARE = 1e-5
"""Variances below this share of the median are raised to it before their log is taken, as limma does."""
_TREND_BINS = 20
_LEAST_ROWS = 10


def replicate_offsets(replicates: Float[ndarray, "n t r"]) -> Float[ndarray, "t r"]:
    """Return how far each replicate lies from the others on average, per target; each target's offsets sum to 0.

    The least-squares column effects of the additive model value = row + column, for missing values by alternation. A
    replicate whose library was sequenced deeper lies higher throughout: no noise of any one sequence. 0 for a replicate
    without a value in a row that has two.
    """
    present = np.isfinite(replicates)
    present &= present.sum(axis=2, keepdims=True) > 1
    values = np.where(present, replicates, 0.0).astype(np.float64)
    per_row, per_column = np.maximum(present.sum(2), 1), np.maximum(present.sum(0), 1)
    offsets = np.zeros(replicates.shape[1:])
    for _ in range(100):
        row = np.where(present, values - offsets, 0.0).sum(2) / per_row
        new = np.where(present, values - row[:, :, None], 0.0).sum(0) / per_column
        seen = present.any(0)
        new -= new.sum(1, keepdims=True) / np.maximum(seen.sum(1, keepdims=True), 1) * seen
        change = np.abs(new - offsets).max(initial=0.0)
        offsets = new
        if change < 1e-9:
            break
    return offsets


def without_offsets(examples: Examples) -> Examples:
    """Return the examples with every replicate less its offset (from the training rows, where there are any).

    Targets stay as they are. Examples without replicates come back unchanged.
    """
    if examples.replicates is None:
        return examples
    fitted = examples.replicates
    if examples.splits is not None and (examples.splits == "train").any():
        fitted = fitted[examples.splits == "train"]
    centred = examples.replicates - replicate_offsets(fitted)
    return replace(examples, replicates=centred.astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class VariancePrior:
    """The true variances behind sample variances: ``degrees * variance / chi-square(degrees)``.

    Attributes
    ----------
    degrees : float
        As many degrees of freedom as the prior is worth; infinite where all true variances are equal.
    variance : float
        Its location; the mean of the true variances is this times degrees / (degrees - 2).
    """

    degrees: float
    variance: float


def fit_variance_prior(
    variance: Float[ndarray, " n"], degrees: Float[ndarray, " n"], trend: Float[ndarray, " n"] | None = None
) -> VariancePrior:
    """Return the scaled inverse chi-square prior of limma, by the moments of log s^2 (Smyth 2004, section 6.2).

    Parameters
    ----------
    variance : (n,) array
        Sample variances.
    degrees : (n,) array
        Their degrees of freedom, above 0.
    trend : (n,) array, optional
        Expected log variance of each row, taken off first; ``variance`` of the prior is then relative to exp(trend).

    Raises
    ------
    DataError
        For fewer than ten sample variances, or only zeros.
    """
    excess = _log_variance(variance, degrees) - (0.0 if trend is None else trend)
    spread = float(np.var(excess, correction=1) - polygamma(1, degrees / 2).mean())
    location = float(excess.mean())
    if spread <= 0:
        return VariancePrior(degrees=math.inf, variance=math.exp(location))
    half = _inverse_trigamma(spread)
    return VariancePrior(
        degrees=2 * half, variance=math.exp(location + float(digamma(half)) - math.log(half))
    )


def shrink_stds(
    std: Float[ndarray, "n t"], degrees: Float[ndarray, "n t"], activity: Float[ndarray, "n t"]
) -> Float[ndarray, "n t"]:
    """Return stds moderated towards their trend with activity, per target (Smyth 2004, equation of section 4; limma-trend).

    Moderated variance = (d0 * trend + d * s^2) / (d0 + d): the posterior mean of 1 / sigma^2, inverted. The trend is the
    mean log variance in bins of equal numbers of rows along the activity, joined by lines. NaN where ``std`` is.

    Raises
    ------
    DataError
        As ``fit_variance_prior``.
    """
    shrunken = np.full(std.shape, np.nan)
    for target in range(std.shape[1]):
        known = (degrees[:, target] > 0) & np.isfinite(std[:, target]) & np.isfinite(activity[:, target])
        variance, d = np.square(std[known, target].astype(np.float64)), degrees[known, target]
        trend = _trend(_log_variance(variance, d), activity[known, target].astype(np.float64))
        prior = fit_variance_prior(variance, d, trend)
        centre = prior.variance * np.exp(trend)
        if math.isinf(prior.degrees):
            moderated = centre
        else:
            moderated = (prior.degrees * centre + d * variance) / (prior.degrees + d)
        shrunken[known, target] = np.sqrt(moderated)
    return shrunken


def _log_variance(variance: Float[ndarray, " n"], degrees: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """Return log s^2 less its bias, so that its mean is log sigma^2 where sigma is the same for all."""
    if len(variance) < _LEAST_ROWS or not (variance > 0).any():
        raise DataError(
            f"replicates: {len(variance)} rows with a sample variance, {int((variance > 0).sum())} of them above 0; expected "
            f"at least {_LEAST_ROWS} rows with two replicates that differ, to learn how noise varies"
        )
    raised = np.maximum(variance, _LEAST_SHARE * np.median(variance[variance > 0]))
    return np.log(raised) - digamma(degrees / 2) + np.log(degrees / 2)


def _trend(values: Float[ndarray, " n"], along: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    order = np.argsort(along, kind="stable")
    bins = np.array_split(order, max(1, min(_TREND_BINS, len(along) // _LEAST_ROWS)))
    centres = np.array([along[rows].mean() for rows in bins])
    return np.interp(along, centres, np.array([values[rows].mean() for rows in bins]))


def _inverse_trigamma(value: float) -> float:
    """Return y with trigamma(y) = value, by Newton's steps on 1 / trigamma (Smyth 2004, appendix)."""
    y = 0.5 + 1 / value
    for _ in range(50):
        slope = float(polygamma(2, y))
        trigamma = float(polygamma(1, y))
        step = trigamma * (1 - trigamma / value) / slope
        y += step
        if abs(step) < 1e-10 * y:
            break
    return y
