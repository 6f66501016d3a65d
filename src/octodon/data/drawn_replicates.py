"""Replicates in place of those that were not published, where mean and standard deviation over them were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray

from octodon.data.examples import Examples
from octodon.errors import DataError

COLUMN = "replicate_std"


def with_drawn_replicates(examples: Examples, *, count: int = 3, seed: int = 0) -> Examples:
    """Return examples with ``count`` replicates of each target, drawn around the measured mean.

    Only for a set with one target and the sample standard deviation in its column ``replicate_std``.

    Raises
    ------
    DataError
        There are replicates already, several targets, or no such column.
    """
    if examples.replicates is not None or len(examples.target_names) != 1 or COLUMN not in examples.columns:
        raise DataError(
            f"data.replicates = 'drawn': needs one target, no replicates, and a column {COLUMN!r}; this set has "
            f"{len(examples.target_names)} targets and the columns {', '.join(examples.columns) or 'none'}; leave it out"
        )
    std = np.asarray(examples.columns[COLUMN], dtype=np.float64)
    drawn = draw_replicates(examples.targets[:, 0].astype(np.float64), std, count=count, seed=seed)
    return replace(examples, replicates=drawn[:, None, :].astype(np.float32))


def draw_replicates(
    mean: Float[ndarray, " n"], std: Float[ndarray, " n"], *, count: int, seed: int
) -> Float64[ndarray, "n r"]:
    """Return ``count`` values a row with exactly this mean and sample standard deviation (``correction=1``).

    Of independent normal noise the direction of the residuals, in the ``count`` - 1 dimensions that a given mean leaves, is
    uniform whatever mean and standard deviation are. Residuals of a uniform direction and the given length are therefore as likely
    as those that were measured; which replicate is high is not known, so that nothing may be read from a single one.
    """
    noise = np.random.default_rng(seed).standard_normal((len(mean), count))
    noise -= noise.mean(axis=1, keepdims=True)
    noise /= np.std(noise, axis=1, correction=1, keepdims=True)
    return mean[:, None] + std[:, None] * noise
