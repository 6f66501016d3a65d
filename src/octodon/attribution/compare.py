"""Maps of members and of students against the ensemble's: every measure of likeness and variability, with its tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import stats

from octodon.attribution.similarity import (
    HIGHER_IS_BETTER,
    MEASURES,
    motif_recall,
    similarity_to_mean,
    variability,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyMaps:
    """Centred maps of one target's sequences.

    Attributes
    ----------
    members : (m, n, 4, l) array
    students : (s, n, 4, l) array
    one_hot : (n, 4, l) array
    """

    members: Float[ndarray, "m n 4 l"]
    students: Float[ndarray, "s n 4 l"]
    one_hot: Float[ndarray, "n 4 l"]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Measured:
    """One measure against one reference: (models, sequences) of each kind of model."""

    measure: str
    reference: str
    individual: ndarray
    student: ndarray
    higher_is_better: bool
    ensemble_mean: float | None = None

    def row(self) -> dict[str, object]:
        """Return the row of the table."""
        of_ensemble = {} if self.ensemble_mean is None else {"ensemble_mean": self.ensemble_mean}
        summary = _summary(self.individual, self.student, self.higher_is_better)
        return {"measure": self.measure, "reference": self.reference} | summary | of_ensemble

    def per_sequence(self, ids: ndarray) -> pd.DataFrame:
        """Return the means over the models of each kind."""
        means = {"individual": self.individual.mean(axis=0), "student": self.student.mean(axis=0)}
        return pd.DataFrame({"measure": self.measure, "reference": self.reference, "id": ids} | means)


def compare(
    maps: StudyMaps, ids: ndarray, planted: Bool[ndarray, "n l"] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of one target, and what it summarises, per sequence."""
    measured = [*_likeness(maps)]
    if len(maps.students) > 1:
        measured += _variability(maps)
    if planted is not None:
        measured.append(_recall(maps, planted))
    per_sequence = [one.per_sequence(ids) for one in measured]
    return pd.DataFrame([one.row() for one in measured]), pd.concat(per_sequence, ignore_index=True)


def observed(maps: Float[ndarray, "m n 4 l"], one_hot: Float[ndarray, "n 4 l"]) -> Float[ndarray, "m n 1 l"]:
    """Return the contributions of the bases that are there."""
    return (maps * one_hot).sum(axis=2, keepdims=True)


def _likeness(maps: StudyMaps) -> Iterator[_Measured]:
    """Yield likeness to the average map of all members, and of all but one."""
    for measure in MEASURES:
        # Centred maps have mean 0: a correlation over all bases would be their cosine again.
        members, students = (
            observed(some, maps.one_hot) if measure == "pearson" else some
            for some in (maps.members, maps.students)
        )
        for reference, leave_out in (("ensemble", False), ("leave-one-out", True)):
            individual, student = (
                similarity_to_mean(some, members, measure, leave_out=leave_out)
                for some in (members, students)
            )
            yield _Measured(
                measure=measure,
                reference=reference,
                individual=individual,
                student=student,
                higher_is_better=HIGHER_IS_BETTER[measure],
            )


def _variability(maps: StudyMaps) -> Iterator[_Measured]:
    """Yield how much the maps of a kind of model vary."""
    for measure, scale_free in (("variability", False), ("variability_scale_free", True)):
        individual, student = (
            variability(some, scale_free=scale_free)[None] for some in (maps.members, maps.students)
        )
        yield _Measured(
            measure=measure,
            reference="own kind",
            individual=individual,
            student=student,
            higher_is_better=False,
        )


def _recall(maps: StudyMaps, planted: Bool[ndarray, "n l"]) -> _Measured:
    """Return which share of the planted positions is among the strongest; the ensemble's for its average map."""
    individual, student, ensemble = (
        np.stack([motif_recall((one * maps.one_hot).sum(axis=1), planted) for one in some])
        for some in (maps.members, maps.students, maps.members.mean(axis=0, keepdims=True))
    )
    return _Measured(
        measure="motif_recall",
        reference="truth",
        individual=individual,
        student=student,
        higher_is_better=True,
        ensemble_mean=float(np.nanmean(ensemble)),
    )


def _summary(individual: ndarray, student: ndarray, higher_is_better: bool) -> dict[str, object]:
    """Return means, medians, ratio and tests; (models, sequences) each."""
    a, b = individual.mean(axis=0), student.mean(axis=0)
    present = np.isfinite(a) & np.isfinite(b)
    a, b = a[present], b[present]  # a sequence without a motif has no recall
    better = b.mean() > a.mean() if higher_is_better else b.mean() < a.mean()
    over_models = [np.nanmean(scores, axis=1) for scores in (individual, student)]
    same = bool(np.allclose(a, b))
    return {
        "n_sequences": len(a),
        "n_individual": len(individual),
        "n_student": len(student),
        "individual_mean": a.mean(),
        "student_mean": b.mean(),
        "individual_median": np.median(a),
        "student_median": np.median(b),
        "individual_median_of_models": np.median(over_models[0]),
        "student_median_of_models": np.median(over_models[1]),
        "student_over_individual": b.mean() / a.mean(),
        "student_is_better": bool(better),
        "wilcoxon_p": 1.0 if same else _p_value(stats.wilcoxon(a, b)),
        "paired_t_p": 1.0 if same else _p_value(stats.ttest_rel(a, b)),
        # Welch's, where both kinds have several models; the published one compares 10 with 10.
        "models_t_p": _p_value(stats.ttest_ind(*over_models, equal_var=False))
        if min(map(len, over_models)) > 1
        else np.nan,
    }


def _p_value(result: Any) -> float:
    return float(result.pvalue)
