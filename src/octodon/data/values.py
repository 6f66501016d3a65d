"""Whether there is something to learn from."""

from __future__ import annotations

import numpy as np

from octodon.data.examples import Examples
from octodon.errors import DataError


def require_values(train: Examples) -> None:
    """Refuse training rows that say nothing of a target: a split may leave all of its values to other rows.

    Raises
    ------
    DataError
        With the target's name; without any target.
    """
    if not train.target_names:
        raise DataError("train: the examples have no target; name at least one (targets=...)")
    for name, values in zip(train.target_names, train.targets.T, strict=True):
        if not np.isfinite(values).any():
            raise DataError(
                f"train: target {name!r} has no value in any of {len(train):,} training rows, expected at least one; leave it "
                f"out of data.targets, or choose another split or a larger train_fraction"
            )
