"""Members that each leave out one fold of the training rows, so that they can say something new about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from octodon.data.examples import Examples
from octodon.data.splits import k_folds
from octodon.errors import DataError
from octodon.seeds import derive_seed


@dataclass(frozen=True, kw_only=True)
class Folds:
    """Which training rows which members never saw: member i leaves out fold i modulo ``count``.

    Related rows (copies, reverse complements, name partners) share a fold, and so do rows of one group where the split kept
    groups together: a member that learnt from the rest of a row's group has nothing new to say about it.

    Attributes
    ----------
    count : int
        Folds, at least 2.
    seed : int
        Of the ensemble.
    rows : str
        SHA-256 of the training sequences in their order, and of their groups.
    groups : str or None
        The column of groups that stay together, ``Examples.split_groups`` of the training rows.
    """

    count: int
    seed: int
    rows: str
    groups: str | None = None

    @classmethod
    def of(cls, train: Examples, count: int, seed: int) -> Folds:
        """Return the folds of training rows; raise DataError where the column of their groups is gone."""
        groups = train.split_groups
        return cls(count=count, seed=seed, rows=_digest(train, _together(train, groups)), groups=groups)

    def of_rows(self, train: Examples) -> Int[ndarray, " n"]:
        """Return the fold (from 0) of every training row.

        Raises
        ------
        DataError
            For other rows (or groups) than those that the members were trained on, or fewer families of rows than folds.
        """
        groups = _together(train, self.groups)
        if _digest(train, groups) != self.rows:
            also = "" if self.groups is None else f" (or their {self.groups!r})"
            raise DataError(
                f"out of fold: these training sequences{also} are not those of the members; give the data that they were "
                f"trained on, in the same order, or label with all members (labels = 'in_sample')"
            )
        return k_folds(train, self.count, derive_seed(self.seed, "folds"), groups)

    def left_out_by(self, member: int) -> int:
        """Return the fold that a member never saw."""
        return member % self.count


def _together(train: Examples, column: str | None) -> tuple[ndarray, ...]:
    """Return the column of groups that stay together, if there is one."""
    if column is None:
        return ()
    if column not in train.columns:
        known = ", ".join(train.columns) or "none"
        raise DataError(
            f"folds: the rows have no column {column!r} (there are: {known}), whose groups stay together; read it with them"
        )
    return (train.columns[column],)


def _digest(train: Examples, groups: tuple[ndarray, ...]) -> str:
    found = hashlib.sha256(np.ascontiguousarray(train.codes).tobytes())
    for column in groups:
        found.update("\n".join(map(str, column)).encode())
    return found.hexdigest()
