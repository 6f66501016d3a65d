"""Labels for training rows by the members that never saw them: members are too sure of what they were fitted to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from octodon.errors import ConfigError
from octodon.records import MemberPredictions, Prediction
from octodon.small_samples import expected_std


def require_folds(count: int, fold_of_member: Sequence[int]) -> None:
    """Refuse members that cannot label every training row out of fold.

    Parameters
    ----------
    count : int
        Folds; 1 = no member left out anything.
    fold_of_member : sequence of int
        Which one each left out.

    Raises
    ------
    ConfigError
        No folds, or fewer than two members that left out some fold.
    """
    if count < 2:
        raise ConfigError(
            "distill.labels: 'out_of_fold' needs members that left out folds of the training rows; train them with "
            "ensemble.folds = 5, or use 'augmented'"
        )
    for fold in range(count):
        _who_left_out(fold, np.asarray(fold_of_member))


def out_of_fold(
    said: MemberPredictions, fold_of_row: Int[ndarray, " n"], fold_of_member: Int[ndarray, " m"]
) -> Prediction:
    """Return what the ensemble would say of rows that it had not seen.

    Each row's mean and noise are those of the members that left it out. Their std, of h members, is taken to the
    expected population std of all m as for normal deviations: by sqrt((m - 1) / m) c4(m) over sqrt((h - 1) / h) c4(h),
    where c4(k) is the expected sample std of k standard normal numbers (``expected_std``). A single label is noisy (h = 2: as large as
    itself by three quarters); a student learns their expectation. What members say that they do not know themselves (an
    evidential network) is an average, which does not depend on how many they are: it is added as it is.

    Raises
    ------
    ConfigError
        Fewer than two members leave out some fold.
    """
    pieces, rows = [], []
    for fold in np.unique(fold_of_row).tolist():
        chosen, members = fold_of_row == fold, _who_left_out(fold, fold_of_member)
        factor = _expected_population_std(said.n_members) / _expected_population_std(int(members.sum()))
        pieces.append(_spread_by(factor, said.take(chosen, members)).combine())
        rows.append(np.flatnonzero(chosen))
    back = np.argsort(np.concatenate(rows))

    def joined(name: str) -> ndarray | None:
        values = [getattr(piece, name) for piece in pieces]
        return None if values[0] is None else np.concatenate(values)[back]

    mean, std = joined("mean"), joined("epistemic_std")
    assert mean is not None
    return Prediction(
        ids=said.ids,
        target_names=said.target_names,
        mean=mean,
        epistemic_std=std,
        aleatoric_std=joined("aleatoric_std"),
    )


def _who_left_out(fold: int, fold_of_member: Int[ndarray, " m"]) -> Bool[ndarray, " m"]:
    members = fold_of_member == fold
    if members.sum() < 2:
        raise ConfigError(
            f"distill.labels: {members.sum()} of {len(fold_of_member)} members left out fold {fold + 1}, "
            f"and a std needs two; train at least twice as many members as ensemble.folds"
        )
    return members


def _spread_by(factor: float, said: MemberPredictions) -> MemberPredictions:
    """Return members ``factor`` times as far from their mean, each as sure of itself as before."""
    members = said.mean.astype(np.float64)
    mean = members.mean(axis=0)
    return replace(said, mean=mean + factor * (members - mean))


def _expected_population_std(k: int) -> float:
    """Return the expected std (divisor k) of k standard normal numbers: sqrt((k - 1) / k) c4(k)."""
    return math.sqrt((k - 1) / k) * float(expected_std(k - 1))
