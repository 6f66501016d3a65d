"""Replicates inside a loss: their number, mean and spread, missing ones left out; and a variance that stays positive."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_BOUND = 8.0
"""Log variances stay within +-8 of that of the average noise: stds from 1/55 to 55 times it."""
_LEAST_VARIANCE = 1e-12
"""Replicates that are all equal have variance 0, whose log is -inf; this is far below the noise of any assay."""


def degrees_and_variance(
    replicates: Float[Tensor, "n t r"],
) -> tuple[Float[Tensor, "n t"], Float[Tensor, "n t"]]:
    """Return degrees of freedom (replicates present less one, at least 0) and sample variance (0 where there is none)."""
    present = torch.isfinite(replicates)
    count = present.sum(2)
    values = torch.where(present, replicates, 0.0)
    mean = values.sum(2, keepdim=True) / count.clamp(min=1).unsqueeze(2)
    squares = torch.where(present, (values - mean).square(), 0.0).sum(2)
    degrees = (count - 1).clamp(min=0).to(values.dtype)
    return degrees, squares / degrees.clamp(min=1)


def pooled_variance(replicates: Float[Tensor, "n t r"]) -> Float[Tensor, " t"]:
    """Return the variance of one measurement, averaged over the rows by their degrees of freedom; above 0."""
    degrees, variance = (value.double() for value in degrees_and_variance(replicates))
    pooled = (degrees * variance).sum(0) / degrees.sum(0).clamp(min=1)
    return pooled.clamp(min=_LEAST_VARIANCE).float()


def known_error(standard_error: Float[Tensor, "n t r"]) -> Float[Tensor, "n t r"]:
    """Return known standard errors, 0 where unknown: all noise of such a replicate is then to be learnt."""
    return torch.where(torch.isfinite(standard_error), standard_error, 0.0)


def bounded_log_ratio(raw: Float[Tensor, "n t"]) -> Float[Tensor, "n t"]:
    """Return a column as log(variance / average variance): the identity near 0, smoothly bounded far from it.

    Without a bound, one step too far makes a variance of 0 or infinity, and the likelihood NaN.
    """
    return _BOUND * torch.tanh(raw / _BOUND)
