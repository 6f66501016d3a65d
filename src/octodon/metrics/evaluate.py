"""The results table of one split: every member, the ensemble and every student, against what is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from octodon.errors import DataError
from octodon.metrics import metrics
from octodon.metrics.agreement import mean_over_pairs, pairwise_pearson
from octodon.metrics.aleatoric import noise_nll, noise_ratio, std_ceiling
from octodon.metrics.tables import ALL_MEMBERS, COLUMNS, predictions_frame, read_metrics, write_metrics
from octodon.records import MemberPredictions, Prediction

__all__ = ["evaluate_split", "predictions_frame", "read_metrics", "write_metrics"]


@dataclass
class _Rows:
    """Rows of the results table as they come."""

    split: str
    target_names: tuple[str, ...]
    metric_names: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, model: str, index: int, quantity: str, metric: str, values: Iterable[float]) -> None:
        """Add one row per target."""
        for target, value in zip(self.target_names, values, strict=True):
            self.rows.append((model, index, self.split, target, quantity, metric, float(value)))

    def score(
        self, model: str, index: int, quantity: str, predicted: ndarray | None, truth: ndarray | None
    ) -> None:
        """Add every metric of one quantity; nothing where the model or the data do not give it."""
        if predicted is None or truth is None:
            return
        try:
            for name in self.metric_names:
                self.add(model, index, quantity, name, metrics[name](predicted, truth))
        except DataError as error:
            raise DataError(f"{self.split}: {model} {index}, {quantity}: {error}") from error


def evaluate_split(
    *,
    split: str,
    members: MemberPredictions | None,
    students: Sequence[Prediction],
    measured: Float[ndarray, "n t"],
    replicate_std: Float[ndarray, "n t"] | None = None,
    n_replicates: ndarray | None = None,
    metric_names: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the tidy results of one split: model, index, split, target, quantity, metric, value.

    - activity of each member (individual 0..m-1), the ensemble (0) and each student (0..s-1) against
      ``measured``.
    - activity, ``pairwise_pearson`` of individual -1 (all members together): mean over all pairs of
      members of the r between their predictions.
    - epistemic std of each student against the ENSEMBLE's epistemic std, what it was taught; never
      against the error. ``n_clipped`` counts its stds of exactly zero: a linear head went below and was
      cut there.
    - aleatoric std of each that gives one against ``replicate_std``; where ``n_replicates`` is given, too,
      ``noise_nll``, ``noise_ratio``, and beside them ``pearson_ceiling``, the Pearson correlation that no
      predictor can exceed by more than chance (see `octodon.metrics.aleatoric`). ``n_clipped`` as above.

    Parameters
    ----------
    split : str
        Name of the split, copied into the table.
    members : MemberPredictions or None
        None where only students are scored; then there is no epistemic truth and no row for it.
    students : sequence of Prediction
        Same ids in the same order as the members.
    measured : (n, t) array
        Activity in the units of the targets; NaN = missing, left out target by target.
    replicate_std : (n, t) array or None
        Sample standard deviation over replicates (``correction=1``); NaN = fewer than two.
    n_replicates : (n, t) array of int or None
        Replicates behind each of them.
    metric_names : sequence of str or None
        Names in the registry of metrics; None = all of them.

    Raises
    ------
    DataError
        Nothing to score; ids, targets or shapes that do not match; a prediction that is not finite; a
        negative std.
    """
    predictions: list[tuple[str, int, Prediction]] = []
    if members is not None:
        predictions += [("individual", i, members.member(i)) for i in range(members.n_members)]
        predictions.append(("ensemble", 0, members.combine()))
    predictions += [("student", i, student) for i, student in enumerate(students)]
    _check(split, predictions, measured, replicate_std)

    names = tuple(metric_names) if metric_names is not None else tuple(metrics.names())
    table = _Rows(split, predictions[0][2].target_names, names)
    for model, index, prediction in predictions:
        table.score(model, index, "activity", prediction.mean, measured)
    if members is not None:
        if members.n_members > 1:
            agreement = mean_over_pairs(pairwise_pearson(members))
            table.add("individual", ALL_MEMBERS, "activity", "pairwise_pearson", agreement)
        # a single network may say itself what it does not know
        _score_epistemic(table, predictions[members.n_members][2], students)
    for model, index, prediction in predictions:
        table.score(model, index, "aleatoric", prediction.aleatoric_std, replicate_std)
        _score_noise(table, (model, index), prediction.aleatoric_std, replicate_std, n_replicates)
    return pd.DataFrame(table.rows, columns=list(COLUMNS))


def _score_epistemic(table: _Rows, ensemble: Prediction, students: Sequence[Prediction]) -> None:
    for index, student in enumerate(students):
        if student.epistemic_std is None or ensemble.epistemic_std is None:
            continue
        table.score("student", index, "epistemic", student.epistemic_std, ensemble.epistemic_std)
        clipped = (student.epistemic_std == 0).sum(axis=0).astype(np.float64)
        table.add("student", index, "epistemic", "n_clipped", clipped)


def _score_noise(
    table: _Rows,
    model: tuple[str, int],
    std: ndarray | None,
    replicate_std: ndarray | None,
    n_replicates: ndarray | None,
) -> None:
    """Add what only replicates can tell of a predicted noise: likelihood, scale, and how well anyone could do."""
    if std is None or replicate_std is None or n_replicates is None:
        return
    table.add(*model, "aleatoric", "noise_nll", noise_nll(std, replicate_std, n_replicates))
    table.add(*model, "aleatoric", "noise_ratio", noise_ratio(std, replicate_std, n_replicates))
    table.add(*model, "aleatoric", "pearson_ceiling", std_ceiling(replicate_std, n_replicates))
    table.add(*model, "aleatoric", "n_clipped", (std == 0).sum(axis=0).astype(np.float64))


def _check(
    split: str,
    predictions: Sequence[tuple[str, int, Prediction]],
    measured: ndarray,
    replicate_std: ndarray | None,
) -> None:
    """Refuse what cannot be compared row by row and column by column."""
    if not predictions:
        raise DataError(f"{split}: neither members nor students to evaluate; give at least one prediction")
    first = predictions[0][2]
    truths = {"measured": measured, "replicate_std": replicate_std}
    for name, values in truths.items():
        if values is not None and values.shape != first.mean.shape:
            raise DataError(
                f"{split}: {name} has shape {values.shape}, predictions {first.mean.shape}; expected "
                "the same (rows, targets); take both from the same examples"
            )
    for model, index, prediction in predictions:
        where = f"{split}: {model} {index}"
        if prediction.target_names != first.target_names:
            raise DataError(
                f"{where} predicts targets {prediction.target_names}, expected {first.target_names} in that "
                "order; train all models on the same targets"
            )
        if not np.array_equal(prediction.ids, first.ids):
            raise DataError(
                f"{where}: its {len(prediction.ids)} ids are not the {len(first.ids)} ids of "
                f"{predictions[0][0]} 0; expected the same ids in the same order; predict the same sequences"
            )
        for name in ("epistemic_std", "aleatoric_std"):
            std = getattr(prediction, name)
            if std is not None and (std < 0).any():
                raise DataError(
                    f"{where}: {int((std < 0).sum())} of {std.size} values of {name} are negative; "
                    "expected 0 or more; clip them where the head is read out"
                )
