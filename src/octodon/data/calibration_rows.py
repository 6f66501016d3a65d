"""Rows for calibration: set aside before anything is trained, related to none that a network sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from octodon.data.examples import Examples
from octodon.data.related import related_groups
from octodon.errors import ConfigError, DataError

CALIBRATION = "calibration"
# Half of fewer leaves less than 50 rows: coverage at 0.9 would vary by more than 4 points (one sd).
MIN_VALID = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class SetAside:
    """Examples with calibration rows, or why there are none.

    Attributes
    ----------
    examples : Examples
    n_rows : int
        Calibration rows; 0 = none.
    why : str
        Where they come from, or why there are none; one line without a full stop.
    """

    examples: Examples
    n_rows: int
    why: str


def set_aside_calibration(
    examples: Examples, fraction: float, seed: int, groups: Sequence[ndarray] = ()
) -> SetAside:
    """Return the examples with part of their validation rows renamed "calibration", at random, related rows together.

    A split column that names calibration rows itself is left as it is. Rows related to a training row stay in
    valid (there are such only where leaks were allowed): a network has seen their copies.

    Parameters
    ----------
    examples : Examples
        With their split.
    fraction : float
        Share of the validation rows, above 0 and below 1.
    seed : int
    groups : sequence of (n,) arrays
        Labels by which the rows were split (gene, element family ...): rows with equal values stay together, so that
        calibration rows are as new to the networks as test rows are. Default: the column by which ``Examples.split`` did it.

    Raises
    ------
    ConfigError
        A fraction outside (0, 1).
    DataError
        Without a split; calibration rows of the user's own that are, or are related to, rows of train or valid.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"calibrate.fraction_of_valid: {fraction}; expected above 0 and below 1")
    given = examples.required_splits()
    own = int((given == CALIBRATION).sum())
    if own:
        refuse_seen(examples)
        return SetAside(examples=examples, n_rows=own, why="split of the table")
    if not groups and examples.split_groups is not None:
        groups = (examples.columns[examples.split_groups],)
    families = related_groups(examples.codes, examples.ids, *groups)
    is_valid = given == "valid"
    n_valid = int(is_valid.sum())
    if n_valid < MIN_VALID:
        return SetAside(examples=examples, n_rows=0, why=why_none(examples))
    # Families that lie in valid as a whole; where leaks were allowed, some do not.
    free = is_valid & ~np.isin(families, families[~is_valid])
    chosen = _part(families, free, round(fraction * n_valid), seed)
    if not 0 < chosen.sum() < n_valid:
        return SetAside(examples=examples, n_rows=0, why=why_none(examples))
    splits = given.astype(object)
    splits[chosen] = CALIBRATION
    return SetAside(
        examples=replace(examples, splits=splits.astype(np.str_)),
        n_rows=int(chosen.sum()),
        why=f"{fraction:g} of {n_valid:,} validation rows, set aside before training",
    )


def why_none(examples: Examples) -> str:
    """Return why ``set_aside_calibration`` left these examples without calibration rows."""
    n_valid = int((examples.required_splits() == "valid").sum())
    if n_valid < MIN_VALID:
        return f"{n_valid} validation rows, at least {MIN_VALID} are needed to set some of them aside"
    return (
        f"none of {n_valid:,} validation rows could be set aside, since related rows stay together: they are one family, or "
        "related to rows of other splits"
    )


def refuse_seen(examples: Examples) -> None:
    """Refuse calibration rows that are, or are related to, a row by which a network was trained or stopped.

    Raises
    ------
    DataError
        With how many, and the first.
    """
    assert examples.splits is not None
    calibration = examples.splits == CALIBRATION
    seen = np.isin(examples.splits, ("train", "valid"))
    groups = related_groups(examples.codes, examples.ids)
    both = calibration & np.isin(groups, groups[seen])
    if both.any():
        first = int(np.flatnonzero(both)[0])
        other = int(np.flatnonzero(seen & (groups == groups[first]))[0])
        raise DataError(
            f"calibration: {int(both.sum())} of {int(calibration.sum())} rows are copies, reverse complements or partners "
            f"of rows in train or valid (first: {examples.ids[first]!s} = {examples.ids[other]!s} in "
            f"{examples.splits[other]!s}); networks know these, so that their errors would look too small: leave them out"
        )


def _part(groups: ndarray, free: Bool[ndarray, " n"], wanted: int, seed: int) -> Bool[ndarray, " n"]:
    """Return about ``wanted`` of the free rows, whole families in random order."""
    families, counts = np.unique(groups[free], return_counts=True)
    order = np.random.default_rng(seed).permutation(len(families))
    # The family whose middle lies below the mark is in: no bias towards small or large ones.
    middle = np.cumsum(counts[order]) - counts[order] / 2
    return free & np.isin(groups, families[order][middle < wanted])
