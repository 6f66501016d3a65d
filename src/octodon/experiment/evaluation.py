"""The last stage of a run: every split but the training one predicted; metrics, predictions and figures written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from octodon.baselines.kmer_ridge import KmerRidge
from octodon.data.examples import Examples
from octodon.distillation.distill import member_predictions
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.member_labels import with_noise_as_learnt
from octodon.experiment.answers import Answers, Trained
from octodon.experiment.beside import KMER_RIDGE, fit_beside, score_beside, write_beside
from octodon.experiment.bundles import calibrate, detect
from octodon.experiment.folder import write_parquet
from octodon.experiment.stages import Stages, evaluated_splits
from octodon.experiment.uncertainty import (
    Calibrations,
    Named,
    Uncertainty,
    calibrated_for,
    evaluate_uncertainty,
    replicate_counts,
    uncertainty_figures,
)
from octodon.metrics.curves import risk_curves
from octodon.metrics.evaluate import evaluate_split, predictions_frame, write_metrics
from octodon.metrics.spread import LEVELS
from octodon.metrics.strata import worst_cells
from octodon.metrics.tables import write_tsv
from octodon.records import MemberPredictions, Prediction
from octodon.report.history import history_figure
from octodon.report.results import read_history
from octodon.report.risk_coverage import risk_coverage_figure
from octodon.report.scatter import scatter_figure
from octodon.report.style import rows_where


@dataclass(frozen=True, kw_only=True, eq=False)
class _Models:
    """All that is scored: networks with their calibrations, and the k-mer ridge beside them."""

    trained: Trained
    calibrations: Calibrations
    ridge: KmerRidge

    def of_student(self, said: Answers, rows: Examples) -> Prediction:
        """Return the answer of the student kept, calibrated, where it is, for means of as many replicates as each row has."""
        best = self.trained.best
        return calibrated_for(said.students[best], self.calibrations.by_model.get(("student", best)), rows)


def evaluate(
    stages: Stages, teachers: Ensemble | MemberPredictions, students: Sequence[Student]
) -> pd.DataFrame:
    """Fit what the bundles learn after training; predict every split but the training one; write metrics, predictions, figures."""
    start, folder = time.perf_counter(), stages.folder
    folder.results.mkdir(exist_ok=True)
    folder.figures.mkdir(exist_ok=True)
    trained = detect(stages, teachers, students)
    calibrations = calibrate(stages, trained)
    models = _Models(trained=trained, calibrations=calibrations, ridge=fit_beside(stages.examples))
    splits = evaluated_splits(stages.examples, trained.teachers)
    parts = [_evaluate_split(stages, models, split) for split in splits]
    metrics = pd.concat([table for table, _ in parts], ignore_index=True)
    _write_coverage(stages, [found for _, found in parts], trained.best)
    write_metrics(metrics, folder.results / "metrics.tsv")
    history_figure(read_history(folder.path), folder.figures / "training.svg")
    folder.event("evaluated", seconds=round(time.perf_counter() - start, 1))
    return metrics


def _evaluate_split(stages: Stages, models: _Models, split: str) -> tuple[pd.DataFrame, Uncertainty]:
    rows = stages.examples.subset(split)
    members = member_predictions(models.trained.teachers, rows, stages.execution)
    said = models.trained.ask(rows, members, stages.execution.device_here)
    predictions = predictions_frame(models.of_student(said, rows), rows.targets)
    write_parquet(predictions, stages.folder.results / f"predictions_{split}.parquet")
    beside, ridge_said = score_beside(models.ridge, rows, split)
    train = stages.examples.subset("train").codes
    named = said.named()
    found = evaluate_uncertainty(split, rows, named, models.calibrations, train_codes=train)
    if split == "test":
        both = [("ensemble", members.combine()), (KMER_RIDGE, ridge_said)]
        write_beside(stages.folder.results, split, rows, both)
        write_tsv(found.curves, stages.folder.results / "intervals_test.tsv")
        _draw(stages, rows, named, found, models.trained.best)
    noise = with_noise_as_learnt(stages.examples, stages.config.ensemble.head).subset(split)
    table = evaluate_split(
        split=split,
        members=members,
        students=said.students,
        measured=rows.targets,
        replicate_std=noise.replicate_std,
        n_replicates=noise.n_replicates,
    )
    tables = [table, beside, found.metrics, *_evaluate_activity_ensemble(stages, rows, split)]
    return pd.concat(tables, ignore_index=True), found


def _draw(stages: Stages, rows: Examples, named: Sequence[Named], found: Uncertainty, student: int) -> None:
    """Draw the figures of the test split."""
    figures, units = stages.folder.figures, stages.examples.units
    answers = {(model, index): prediction for model, index, prediction in named}
    scatter_figure(
        answers["student", student], rows.targets, answers["ensemble", 0], figures / "test.svg", units
    )
    uncertainty_figures(found, figures, units, student)
    chosen = [one for one in named if one[0] != "individual"]
    curves = risk_curves(chosen, rows.targets.astype(np.float64), replicate_counts(rows))
    if not curves.empty:
        risk_coverage_figure(curves, figures / "risk_coverage.svg", units, student=student)


def _write_coverage(stages: Stages, found: Sequence[Uncertainty], student: int) -> None:
    tables = [part.coverage for part in found if not part.coverage.empty]
    if not tables:
        return
    write_tsv(pd.concat(tables, ignore_index=True), stages.folder.results / "coverage.tsv")
    for table in tables:
        chosen = rows_where(table, model="student", index=student, level=LEVELS[2])
        for line in worst_cells(chosen):
            stages.say(f"worst cell of {chosen['split'].iloc[0]}: {line}")


def _evaluate_activity_ensemble(stages: Stages, rows: Examples, split: str) -> list[pd.DataFrame]:
    """Score stage 1 of the lentiMPRA protocol, if there is one, as ``activity_individual`` and ``activity_ensemble``."""
    if not (stages.folder.path / "ensemble_activity").is_dir():
        return []
    ensemble = stages.ensemble("ensemble_activity")
    members = ensemble.predict_members(rows.codes, [str(name) for name in rows.ids], stages.execution)
    table = evaluate_split(split=split, members=members, students=[], measured=rows.targets)
    return [table.assign(model="activity_" + table["model"])]
