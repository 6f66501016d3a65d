"""The stage "calibrate": every model on rows that no network saw; then its stds and intervals against the errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from numpy import ndarray

from octodon.calibration._rows import NoStd
from octodon.calibration.calibration import Calibration
from octodon.calibration.fit import MIN_ROWS, check_options, fit_calibration
from octodon.data.calibration_rows import CALIBRATION, why_none
from octodon.data.examples import Examples
from octodon.errors import ConfigError, DataError
from octodon.experiment.calibrate_config import CalibrateSection
from octodon.metrics.curves import CURVE_LEVELS, at_levels, interval_curves
from octodon.metrics.spread import LEVELS, Scored, evaluate_spread, student_spread
from octodon.metrics.strata import class_cells, coverage_by_cell, gc_cells, quantile_cells
from octodon.ood import Observed, scores
from octodon.records import MemberPredictions, Prediction
from octodon.report.coverage import coverage_figure
from octodon.report.intervals import intervals_figure, reliability_figure

Named = tuple[str, int, Prediction]
_OOD_ROWS = 5000


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibrations:
    """The calibrations of a run, by model and index; empty where there are none.

    Attributes
    ----------
    by_model : mapping
        Individuals, ensemble and students, by the configured method.
    constant : mapping
        Split conformal of the students: one width for all, which every other method must beat.
    """

    by_model: Mapping[tuple[str, int], Calibration] = field(default_factory=dict)
    constant: Mapping[tuple[str, int], Calibration] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Uncertainty:
    """How the models of a run fit their errors on one split.

    Attributes
    ----------
    metrics : DataFrame
        Rows of the results table.
    coverage : DataFrame
        By cell; empty without a calibration.
    curves : DataFrame
        Coverage and size along the level.
    """

    metrics: pd.DataFrame
    coverage: pd.DataFrame
    curves: pd.DataFrame


def check_calibration(config: CalibrateSection, examples: Examples, *, detects: bool = False) -> str | None:
    """Return why there will be no calibration, or None if there will be one; refuse what would fail after training.

    Parameters
    ----------
    detects : bool
        Whether every model will give an out-of-distribution score.

    Raises
    ------
    ConfigError
        An unknown method or option, or a method that a run cannot feed.
    DataError
        Too few calibration rows for the method at the level, or at 0.95, which is evaluated.
    """
    if config.method == "none":
        return 'calibrate.method is "none"'
    check_options(config.method, config.options)
    if config.method == "mondrian_ood" and not detects:
        raise ConfigError(
            "calibrate.method: 'mondrian_ood' needs an out-of-distribution score of every sequence, which this run does not "
            "make; set ood.score, or use 'mondrian_activity'"
        )
    assert examples.splits is not None
    rows = examples.splits == CALIBRATION
    if not rows.any():
        return why_none(examples)
    measured = examples.targets[rows].astype(np.float64)
    counts = np.isfinite(measured).sum(axis=0)
    if counts.min() < MIN_ROWS:
        name = examples.target_names[int(counts.argmin())]
        return (
            f"{int(counts.min())} calibration rows with a measured {name!r}, at least {MIN_ROWS} are needed"
        )
    try:
        _rehearse(config, examples, measured)
    except DataError as error:
        raise DataError(f"calibrate: {error}") from None
    return None


def calibrate_all(
    predictions: Sequence[Named], rows: Examples, config: CalibrateSection, seed: int
) -> Calibrations:
    """Return the calibration of every model, made on these rows.

    A single member may say no std (without a head that learns noise it has none), or zeros; a method that scales one leaves it out.
    """

    def fit(prediction: Prediction, method: str, options: dict[str, Any]) -> Calibration:
        return fit_calibration(
            prediction,
            rows.targets.astype(np.float64),
            method=method,
            level=config.level,
            replicates=rows.n_replicates,
            options=options,
            seed=seed,
        )

    by_model = {}
    for model, index, prediction in predictions:
        try:
            by_model[model, index] = fit(prediction, config.method, config.options)
        except NoStd:
            if model != "individual":
                raise
    return Calibrations(
        by_model=by_model,
        constant={(m, i): fit(prediction, "split", {}) for m, i, prediction in predictions if m == "student"},
    )


def named_predictions(
    members: MemberPredictions | None,
    students: Sequence[Prediction],
    ood_score: Float[ndarray, " n"] | None = None,
) -> list[Named]:
    """Return every model of a run with its prediction: individuals, the ensemble, students.

    Parameters
    ----------
    ood_score : (n,) array, optional
        Of the sequences as the ensemble's detector scores them, for individuals and ensemble.
    """
    found: list[Named] = []
    if members is not None:
        found += [("individual", i, members.member(i)) for i in range(members.n_members)]
        found.append(("ensemble", 0, members.combine()))
    found = [(model, i, replace(prediction, ood_score=ood_score)) for model, i, prediction in found]
    return found + [("student", i, student) for i, student in enumerate(students)]


def evaluate_uncertainty(
    split: str,
    rows: Examples,
    predictions: Sequence[Named],
    calibrations: Calibrations,
    *,
    train_codes: UInt8[ndarray, "m l"] | None = None,
) -> Uncertainty:
    """Return how stds and intervals of every model fit the errors of its mean on one split.

    Parameters
    ----------
    split : str
        Copied into the tables.
    rows : Examples
        Of that split.
    predictions : sequence of (model, index, Prediction)
        As the models give them.
    calibrations : Calibrations
        Models without one are scored by their own stds.
    train_codes : (m, l) uint8, optional
        Training sequences, to which others are compared for cells by "ood".
    """
    measured = rows.targets.astype(np.float64)
    counts = replicate_counts(rows)
    ensemble = next((prediction for model, _, prediction in predictions if model == "ensemble"), None)
    strata = {"GC content": gc_cells(rows.codes)} | class_cells(rows.columns)
    if train_codes is not None:
        strata["ood"] = _ood_tenths(train_codes, rows.codes)
    metrics, curves, coverage = [], [], []
    # One model after the other: intervals at twenty levels for all of them at once would fill the memory.
    for named in predictions:
        one = _scored(named, calibrations.by_model, counts)
        metrics.append(evaluate_spread([one], split=split, measured=measured, n_replicates=counts))
        curves.append(interval_curves([one], measured, counts))
        # at the level that the run itself was asked for, too: by that the report judges
        own = {c.level for key, c in calibrations.by_model.items() if key == named[:2]}
        judged = [(one.model, one.index, said) for said in one.calibrated if said.level in {*LEVELS, *own}]
        if judged and one.model != "individual":
            coverage.append(coverage_by_cell(judged, measured, strata, split=split))
        if named[:2] in calibrations.constant:
            flat = interval_curves([_scored(named, calibrations.constant, counts)], measured, counts)
            curves.append(flat.loc[flat["quantity"] == "calibrated"].assign(quantity="constant"))
    if ensemble is not None:
        students = [prediction for model, _, prediction in predictions if model == "student"]
        metrics.append(student_spread(students, ensemble, split=split, measured=measured))
    return Uncertainty(metrics=_joined(metrics), coverage=_joined(coverage), curves=_joined(curves))


def uncertainty_figures(found: Uncertainty, folder: Path, units: str, student: int) -> None:
    """Write ``intervals.svg``, ``reliability.svg`` and ``coverage.svg`` of one split."""
    if found.curves.empty:
        return
    intervals_figure(found.curves, folder / "intervals.svg", units, student=student)
    reliability_figure(found.curves, folder / "reliability.svg", student=student)
    if not found.coverage.empty:
        coverage_figure(found.coverage, folder / "coverage.svg", student=student)


def replicate_counts(rows: Examples) -> int | ndarray:
    """Return of how many replicates each measured value is the mean; 1 where that is not known.

    Of a value that was not measured: as many as its target has typically (the median).
    """
    if rows.n_replicates is None:
        return 1
    counts = np.maximum(rows.n_replicates, 1)
    return np.where(np.isfinite(rows.targets), counts, typical_counts(rows))


def typical_counts(rows: Examples) -> ndarray:
    """Return of how many replicates a measured value of each target typically is the mean, (t,)."""
    if rows.n_replicates is None:
        return np.ones(len(rows.target_names), dtype=int)
    pairs = zip(rows.n_replicates.T, np.isfinite(rows.targets).T, strict=True)
    return np.array([max(1, int(np.median(n[known]))) if known.any() else 1 for n, known in pairs])


def for_counts(calibration: Calibration, counts: int | ndarray) -> Callable[[Prediction, float], Prediction]:
    """Return how to calibrate predictions that are judged by means of ``counts`` replicates, row by row where they differ."""
    if isinstance(counts, np.ndarray) and calibration.answers_any_replicates:
        return partial(calibration.apply, replicates=counts)
    return calibration.apply


def calibrated_for(said: Prediction, calibration: Calibration | None, rows: Examples) -> Prediction:
    """Return what was said of these rows with the calibration's intervals, for means of as many replicates as each row has."""
    if calibration is None:
        return said
    return for_counts(calibration, replicate_counts(rows))(said, calibration.level)


def _ood_tenths(train_codes: UInt8[ndarray, "m l"], codes: UInt8[ndarray, "n l"]) -> ndarray:
    """Return the tenth of each sequence by its unlikeness to (at most 5,000 of) the training sequences."""
    sample = np.random.default_rng(0).permutation(len(train_codes))[:_OOD_ROWS]
    score = scores["markov"]
    learnt = score.fit(Observed(codes=train_codes[np.sort(sample)]), 0)
    parts = range(0, len(codes), _OOD_ROWS)
    values = [score.score(learnt, Observed(codes=codes[start : start + _OOD_ROWS])) for start in parts]
    return quantile_cells(np.concatenate(values))


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if not table.empty]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def _scored(
    named: Named, calibrations: Mapping[tuple[str, int], Calibration], counts: int | ndarray
) -> Scored:
    model, index, prediction = named
    calibration = calibrations.get((model, index))
    if calibration is None:
        return Scored(model=model, index=index, prediction=prediction)
    levels = sorted({*CURVE_LEVELS, calibration.level})
    done = at_levels(for_counts(calibration, counts), prediction, levels)
    return Scored(model=model, index=index, prediction=prediction, calibrated=done)


def _rehearse(config: CalibrateSection, examples: Examples, measured: ndarray) -> None:
    """Fit the method to numbers made up for the rows that it will have."""
    rng = np.random.default_rng(0)
    made_up = Prediction(
        ids=np.arange(len(measured)).astype(str),
        target_names=examples.target_names,
        mean=rng.normal(size=measured.shape),
        epistemic_std=rng.uniform(0.5, 1.5, size=measured.shape),
        ood_score=rng.uniform(0, 100, size=len(measured)),
    )
    values = np.where(np.isfinite(measured), made_up.mean + rng.normal(size=measured.shape), np.nan)
    learnt = fit_calibration(
        made_up, values, method=config.method, level=config.level, options=config.options
    )
    for level in CURVE_LEVELS:
        learnt.apply(made_up, level)
