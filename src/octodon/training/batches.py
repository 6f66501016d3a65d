"""Which rows a step sees: a pure function of (seed, epoch), so that resuming needs no saved loader."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from octodon.seeds import derive_seed


def epoch_order(seed: int, epoch: int, n: int) -> ndarray:
    """Return the order of the ``n`` training rows in one epoch."""
    return np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(n)


def batch_slices(n: int, batch_size: int) -> list[slice]:
    """Return consecutive slices that cover ``n`` rows once.

    The last may be smaller, as in Keras; a last one of a single row joins the one before it, because batch
    normalisation has no variance of one row.
    """
    starts = list(range(0, n, batch_size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    stops = [*starts[1:], n]
    return [slice(start, stop) for start, stop in zip(starts, stops, strict=True)]
