"""Stds of a few values each: what they are, and how much too small on average."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray


def sample_std(values: Float[ndarray, "n t r"]) -> tuple[Float[ndarray, "n t"], Float[ndarray, "n t"]]:
    """Return sample std (``correction=1``; NaN for fewer than two) and degrees of freedom (values present - 1)."""
    present = np.isfinite(values)
    count = present.sum(axis=2)
    known = np.where(present, values, 0.0).astype(np.float64)
    mean = known.sum(axis=2, keepdims=True) / np.maximum(count, 1)[:, :, None]
    squares = np.where(present, np.square(known - mean), 0.0).sum(axis=2)
    std = np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
    return std, np.maximum(count - 1, 0).astype(np.float64)


def expected_std(degrees: int | float | ndarray) -> ndarray:
    """Return E[s] / sigma of the sample std (``correction=1``) of normal values with ``degrees`` = values - 1.

    sqrt(2 / d) * Gamma((d + 1) / 2) / Gamma(d / 2), the mean of a chi variable over sqrt(d) ("c4" of quality control):
    0.798 for two values, 0.886 for three, 1 for many. NaN where there is no degree of freedom.
    """
    from scipy.special import gammaln  # not for everyone who reads examples

    d = np.asarray(degrees, dtype=np.float64)
    d = np.where(d > 0, d, np.nan)
    return np.asarray(np.sqrt(2 / d) * np.exp(gammaln((d + 1) / 2) - gammaln(d / 2)))
