"""Predicted noise against the spread of a few replicates: likelihood, scale, and how well anyone could do."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.metrics._paired import check_pair
from octodon.small_samples import expected_std


def noise_nll(
    aleatoric_std: Float[ndarray, "n t"],
    replicate_std: Float[ndarray, "n t"],
    n_replicates: ndarray,
) -> Float[ndarray, " t"]:
    """Return the negative log-likelihood of the replicates around their own mean, in nats per degree of freedom.

    (log(2 pi sigma^2) + s^2 / sigma^2) / 2, averaged with weight R - 1: what the scaled chi-square law of s^2 says of
    sigma, whatever the activity is. Lower is better; the true std is best. Infinite where a std of 0 meets replicates
    that differ. NaN for a target without replicates.

    Parameters
    ----------
    aleatoric_std : (n, t) array
        Predicted std of one measurement.
    replicate_std : (n, t) array
        Sample std (``correction=1``); NaN = fewer than two replicates.
    n_replicates : (n, t) array of int
        Replicates behind each of them.

    Raises
    ------
    DataError
        For shapes that differ, or a prediction that is not finite.
    """
    sigma, s = _checked(aleatoric_std, replicate_std, n_replicates)
    with np.errstate(divide="ignore", invalid="ignore"):
        nll = 0.5 * (math.log(2 * math.pi) + 2 * np.log(sigma) + np.square(s / sigma))
    nll[(sigma == 0) & (s > 0)] = math.inf  # the limit; log 0 + s / 0 is no number
    return _mean_per_degree(nll, n_replicates)


def noise_ratio(
    aleatoric_std: Float[ndarray, "n t"],
    replicate_std: Float[ndarray, "n t"],
    n_replicates: ndarray,
) -> Float[ndarray, " t"]:
    """Return measured over predicted noise, sqrt(sum d s^2 / sum d sigma^2) with d = R - 1: 1 = right on average.

    Above 1 the noise is larger than predicted. Parameters and errors as ``noise_nll``.
    """
    sigma, s = _checked(aleatoric_std, replicate_std, n_replicates)
    predicted = np.where(np.isfinite(s), np.square(sigma), math.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(
            _mean_per_degree(np.square(s), n_replicates) / _mean_per_degree(predicted, n_replicates)
        )


def std_ceiling(replicate_std: Float[ndarray, "n t"], n_replicates: ndarray) -> Float[ndarray, " t"]:
    """Return the highest Pearson correlation with measured stds that any predictor can expect, 0 to 1.

    s = sigma * chi_d / sqrt(d), chi_d independent of sigma and of every predictor, d = R - 1. So E s = c(d) E sigma and
    E s^2 = E sigma^2, which gives the spread of the TRUE stds from the measured ones without a further assumption,

        var sigma = mean(s^2) - mean(s / c(d))^2,

    and for a predictor that knows every sigma, cov(sigma, s) = mean(c) * var sigma: the correlation is
    mean(c) * sd(sigma) / sd(s). c(d) is ``expected_std``. 0 where the stds scatter no more than equal ones would; NaN for
    fewer than three rows.
    """
    ceilings = []
    for s, count in zip(replicate_std.T.astype(np.float64), n_replicates.T, strict=True):
        known = np.isfinite(s) & (count > 1)
        s, d = s[known], count[known] - 1.0
        if len(s) < 3 or s.min() == s.max():
            ceilings.append(math.nan)
            continue
        c = expected_std(d)
        spread = max(0.0, float(np.square(s).mean() - (s / c).mean() ** 2))
        ceilings.append(min(1.0, float(c.mean()) * math.sqrt(spread) / float(np.std(s, correction=0))))
    return np.array(ceilings)


def _checked(
    sigma: Float[ndarray, "n t"], s: Float[ndarray, "n t"], count: ndarray
) -> tuple[Float[ndarray, "n t"], Float[ndarray, "n t"]]:
    check_pair(sigma, s)
    check_pair(sigma, count.astype(np.float64))
    return sigma.astype(np.float64), s.astype(np.float64)


def _mean_per_degree(values: Float[ndarray, "n t"], count: ndarray) -> Float[ndarray, " t"]:
    """Return the mean of each column weighted by R - 1; NaN for a target without two replicates anywhere."""
    known = ~np.isnan(values) & (count > 1)
    weight = np.where(known, count - 1.0, 0.0)
    total = np.where(known, weight * np.where(known, values, 0.0), 0.0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return total / weight.sum(axis=0)
