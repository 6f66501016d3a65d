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

    Related rows (copies, reverse complements, name partners) share a fold.

    Attributes
    ----------
    count : int
        Folds, at least 2.
    seed : int
        Of the ensemble.
    rows : str
        SHA-256 of the training sequences in their order.
    """

    count: int
    seed: int
    rows: str

    @classmethod
    def of(cls, train: Examples, count: int, seed: int) -> Folds:
        """Return the folds of training rows."""
        return cls(count=count, seed=seed, rows=_digest(train))

    def of_rows(self, train: Examples) -> Int[ndarray, " n"]:
        """Return the fold (from 0) of every training row.

        Raises
        ------
        DataError
            For other rows than those that the members were trained on, or fewer families of rows than folds.
        """
        if _digest(train) != self.rows:
            raise DataError(
                "out of fold: these training sequences are not those of the members; give the data that they were "
                "trained on, in the same order, or label with all members (labels = 'in_sample')"
            )
        return k_folds(train, self.count, derive_seed(self.seed, "folds"))

    def left_out_by(self, member: int) -> int:
        """Return the fold that a member never saw."""
        return member % self.count


def _digest(train: Examples) -> str:
    return hashlib.sha256(np.ascontiguousarray(train.codes).tobytes()).hexdigest()
