"""Thin the training split, so that accuracy can be drawn against the amount of data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from octodon.data.examples import Examples
from octodon.errors import ConfigError, DataError


def subsample(examples: Examples, fraction: float, seed: int = 0) -> Examples:
    """Return the examples with only ``fraction`` of the train rows; all other splits stay whole.

    The rows are the first ``round(fraction * n_train)`` of ONE random order of the train rows, so that for one seed the
    10 % set lies within the 25 % set. They keep their order in the file; the number left out goes to
    ``Examples.dropped``.

    Raises
    ------
    ConfigError
        For a fraction outside (0, 1].
    DataError
        Without a split, or where no row would remain.
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"training fraction {fraction}, expected above 0 and at most 1")
    train = np.flatnonzero(examples.required_splits() == "train")
    count = round(fraction * len(train))
    if count == 0:
        raise DataError(
            f"subsample: fraction {fraction} of {len(train)} train rows leaves none; choose a larger fraction"
        )
    if count == len(train):
        return examples
    left_out = np.random.default_rng(seed).permutation(train)[count:]
    keep = np.ones(len(examples), dtype=bool)
    keep[left_out] = False
    dropped = {**examples.dropped, f"train rows outside the fraction {fraction:g}": len(left_out)}
    return replace(examples.take(np.flatnonzero(keep)), dropped=dropped)
