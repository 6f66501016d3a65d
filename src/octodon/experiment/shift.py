"""How error, doubt and intervals of a run's models hold on sequences unlike those they were trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from numpy import ndarray

from octodon.atomic import make_folder, remove_file, write_json
from octodon.calibration.calibration import Calibration
from octodon.data.calibration_rows import CALIBRATION
from octodon.data.examples import Examples
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution
from octodon.errors import ConfigError
from octodon.experiment.finished import load_examples, load_models, refuse_unfinished
from octodon.experiment.shift_sets import read_set
from octodon.experiment.uncertainty import for_counts, replicate_counts, typical_counts
from octodon.metrics.curves import at_levels
from octodon.metrics.evaluate import evaluate_split
from octodon.metrics.spread import LEVELS, Scored, evaluate_spread, spread_of, student_spread
from octodon.metrics.tables import COLUMNS, write_metrics
from octodon.models.observe import with_ood
from octodon.records import MemberPredictions, Prediction
from octodon.report.shift import shift_figure
from octodon.shifts.shift import DEFAULT_SHIFTS, Shift

SHIFT_COLUMNS = (*COLUMNS, "truth")
ALL_TARGETS = "all"
SETTINGS = "results/shift.json"
"""In the folder of a run: what its evaluation was asked for."""
_ACTIVITY = ("mse", "pearson", "spearman")


@dataclass(frozen=True, kw_only=True, eq=False)
class SequenceSet:
    """Sequences on which models are judged.

    Attributes
    ----------
    name : str
    codes : (n, l) uint8
    measured : (n, t) array or None
        NaN = missing; None where nothing was measured.
    n_replicates : int or (n, t) array
        Of how many replicates each measured value is the mean: what intervals are for.
    """

    name: str
    codes: UInt8[ndarray, "n l"]
    measured: Float[ndarray, "n t"] | None = None
    n_replicates: int | ndarray = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Shifted:
    """How the models of a run hold on shifted sequences.

    Attributes
    ----------
    table : DataFrame
        Of `evaluate_shift`.
    units : str
        Of the targets.
    settings : dict
        What was asked for: a `shift_request`.
    """

    table: pd.DataFrame
    units: str
    settings: dict[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Answers:
    """What all models say of one set."""

    members: MemberPredictions
    ensemble: Prediction
    students: Sequence[Prediction]


def evaluate_shift(
    ensemble: Ensemble,
    students: Sequence[Student],
    examples: Examples,
    *,
    name: str = "test",
    shifts: Sequence[Shift] = DEFAULT_SHIFTS,
    others: Mapping[str, Examples] | None = None,
    seed: int = 0,
    device: str = "auto",
    on_sets: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Return how models hold on shifted sequences, as a tidy table.

    Parameters
    ----------
    ensemble : Ensemble
    students : sequence of Student
        Distilled from it.
    examples : Examples
        A test set without its other splits: judged as it is and after every shift.
    name : str
        What these examples are called where they are judged as they are.
    shifts : sequence of Shift
    others : mapping of str to Examples, optional
        Further sets of the models' length, with or without measurements.
    seed : int
        Of the shifts.
    device : str
        "auto" (a GPU where there is one), "cpu" or "cuda".
    on_sets : callable, optional
        Called with the number of sets done and of all sets.

    Returns
    -------
    DataFrame
        model, index, split (the set's name), target, quantity, metric, value as in ``metrics.tsv``, and ``truth``: what
        "activity", errors and coverage are compared with, "measured" or "ensemble" (its mean, the published reference on
        shifted sequences; a member is part of it, and so m / (m - 1) times nearer than to the mean of the others).
        Rows without a truth: mean and sd of a quantity over the set; of target "all", the share ``flagged`` and the mean
        ``percentile`` of the out-of-distribution score, and the number of sequences.

    Raises
    ------
    ConfigError
        Two sets of one name.
    BundleError, DataError, RunError
        As ``predict``.
    """
    sets = make_sets(examples, shifts, dict(others or {}), seed, name)
    tables = []
    for done, one in enumerate(sets):
        tables.append(_evaluate(one, ensemble, students, device))
        if on_sets is not None:
            on_sets(done + 1, len(sets))
    return pd.concat(tables, ignore_index=True)


def make_sets(
    examples: Examples,
    shifts: Sequence[Shift],
    others: Mapping[str, Examples],
    seed: int,
    name: str = "test",
) -> list[SequenceSet]:
    """Return the test set, called ``name``, its shifted copies, and the other sets; names must differ."""
    names = [name, *(shift.label for shift in shifts), *others]
    repeated = [each for each in names if names.count(each) > 1]
    if repeated:
        raise ConfigError(f"shift: two sets are called {repeated[0]!r}; name every set differently")
    counts = replicate_counts(examples)
    test = SequenceSet(
        name=name, codes=examples.codes, measured=examples.targets.astype(np.float64), n_replicates=counts
    )
    shifted = [
        SequenceSet(name=shift.label, codes=shift.of(examples.codes, seed), n_replicates=counts)
        for shift in shifts
    ]
    usual = typical_counts(examples)
    return [test, *shifted, *(_as_set(other, rows, usual) for other, rows in others.items())]


def shift_run(
    run: Path,
    *,
    shifts: Sequence[Shift] = DEFAULT_SHIFTS,
    given: Mapping[str, Path] | None = None,
    split: str = "test",
    crop: bool = False,
    seed: int = 0,
    backbone: str | None = None,
    device: str = "auto",
    on_sets: Callable[[int, int], None] | None = None,
) -> Shifted:
    """Return ``evaluate_shift`` of a finished run: its ensemble, student(s) and test set.

    The run's further splits, which it kept aside, are judged as well, and so is its test split where another one is shifted.

    Parameters
    ----------
    given : mapping of str to path, optional
        Further sets: FASTA, or tables, with measurements where they have the columns of the run's targets.
    split : str
        Whose rows are shifted; the set that is judged as it is has this name.
    crop : bool
        Cut given sequences that are longer than the models' to their centre; else they are refused.

    Raises
    ------
    RunError
        When the folder holds no finished run with an ensemble and a student, or its data have changed.
    ConfigError
        As ``evaluate_shift``; for a given set with the name of one of the run's splits.
    DataError
        As ``prepare`` and the readers.
    """
    refuse_unfinished(run)
    models = load_models(run, backbone)
    config, examples = load_examples(run)
    assert examples.splits is not None
    splits = [str(name) for name in pd.unique(examples.splits)]
    _refuse_split_names(given or {}, splits)
    aside = [name for name in splits if name not in ("train", "valid", CALIBRATION, split)]
    others = {name: examples.subset(name) for name in aside}
    for name, path in (given or {}).items():
        others[name] = read_set(path, config.data, examples, crop=crop)
    table = evaluate_shift(
        models.ensemble,
        models.students,
        examples.subset(split),
        name=split,
        shifts=shifts,
        others=others,
        seed=seed,
        device=device,
        on_sets=on_sets,
    )
    settings = shift_request(shifts=shifts, given=given, split=split, crop=crop, seed=seed)
    return Shifted(table=table, units=examples.units, settings=settings)


def shift_request(
    *,
    shifts: Sequence[Shift] = DEFAULT_SHIFTS,
    given: Mapping[str, Path] | None = None,
    split: str = "test",
    crop: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what ``shift_run`` is asked for by these arguments, as JSON values."""
    files = {name: str(path.resolve()) for name, path in (given or {}).items()}
    kinds = [asdict(shift) for shift in shifts]
    return {"shifts": kinds, "given": files, "split": split, "crop": crop, "seed": seed}


def write_shift(
    table: pd.DataFrame,
    run: Path,
    units: str = "activity",
    settings: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write ``results/shift.tsv`` and ``figures/shift.svg`` of a run, and what was asked for; return the paths of the two.

    Raises
    ------
    RunError
        When a file cannot be written.
    """
    for name in ("results", "figures"):
        make_folder(run / name)
    paths = [run / "results" / "shift.tsv", run / "figures" / "shift.svg"]
    # whoever reads them finds the whole of one evaluation, or that files are absent: never parts of two
    for file in (run / SETTINGS, *paths):
        remove_file(file)
    write_metrics(table, paths[0])
    shift_figure(table, paths[1], units)
    if settings is not None:
        write_json(run / SETTINGS, dict(settings))
    return paths


def shift_settings(run: Path) -> dict[str, Any] | None:
    """Return what the evaluation in the folder of a run was asked for; None where there is none that is whole and says so."""
    file = run / SETTINGS
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _refuse_split_names(given: Mapping[str, Path], splits: Sequence[str]) -> None:
    """Refuse a given set that would stand in the table for rows of the run."""
    for name, path in given.items():
        if name in splits:
            raise ConfigError(
                f"--also {name}={path}: the run has a split of that name; name the set differently"
            )


def _as_set(name: str, rows: Examples, usual: ndarray) -> SequenceSet:
    if rows.targets.shape[1]:
        measured = rows.targets.astype(np.float64)
        return SequenceSet(
            name=name, codes=rows.codes, measured=measured, n_replicates=replicate_counts(rows)
        )
    # intervals of the width that they would have for a measurement like those of the test set
    return SequenceSet(
        name=name, codes=rows.codes, n_replicates=np.broadcast_to(usual, (len(rows.codes), len(usual)))
    )


def _evaluate(one: SequenceSet, ensemble: Ensemble, students: Sequence[Student], device: str) -> pd.DataFrame:
    said = _ask(one, ensemble, students, device)
    calibrations = {("ensemble", 0): ensemble.calibration}
    calibrations |= {("student", i): student.calibration for i, student in enumerate(students)}
    named = [("ensemble", 0, said.ensemble), *(("student", i, p) for i, p in enumerate(said.students))]
    scored = [_scored(model, i, p, calibrations[model, i], one.n_replicates) for model, i, p in named]
    tables = [_against_ensemble(one, said, scored)]
    if one.measured is not None and not np.isnan(one.measured).all():
        tables.append(_against_measured(one, said, scored))
    tables.append(_described(one, scored))
    return pd.concat(tables, ignore_index=True).reindex(columns=list(SHIFT_COLUMNS))


def _ask(one: SequenceSet, ensemble: Ensemble, students: Sequence[Student], device: str) -> _Answers:
    members = ensemble.predict_members(one.codes, execution=Execution(device=device))
    whole = with_ood(members.combine(), ensemble.detector, one.codes, ensemble.network(0))
    answers = [student.predict(one.codes, device=device, calibrated=False) for student in students]
    return _Answers(members=members, ensemble=whole, students=answers)


def _scored(
    model: str, index: int, prediction: Prediction, calibration: Calibration | None, counts: int | ndarray
) -> Scored:
    done = () if calibration is None else at_levels(for_counts(calibration, counts), prediction, LEVELS)
    return Scored(model=model, index=index, prediction=prediction, calibrated=done)


def _against_ensemble(one: SequenceSet, said: _Answers, scored: Sequence[Scored]) -> pd.DataFrame:
    """Return rows whose truth is the ensemble: its mean for the mean of others, its std for the std of students."""
    reference = said.ensemble.mean
    activity = evaluate_split(
        split=one.name,
        members=said.members,
        students=said.students,
        measured=reference,
        metric_names=_ACTIVITY,
    )
    # the ensemble against itself says nothing, and the noise of shifted sequences was never measured
    activity = activity.loc[(activity["model"] != "ensemble") & (activity["quantity"] != "aleatoric")]
    students = [each for each in scored if each.model == "student"]
    spread = evaluate_spread(
        students, split=one.name, measured=reference, n_replicates=_counts(one, reference.shape)
    )
    size = student_spread(said.students, said.ensemble, split=one.name)
    return pd.concat([activity, spread, size], ignore_index=True).assign(truth="ensemble")


def _against_measured(one: SequenceSet, said: _Answers, scored: Sequence[Scored]) -> pd.DataFrame:
    """Return rows whose truth is the measurement."""
    measured = one.measured
    assert measured is not None
    activity = evaluate_split(
        split=one.name,
        members=said.members,
        students=said.students,
        measured=measured,
        metric_names=_ACTIVITY,
    )
    chosen = (activity["quantity"] == "activity") & activity["metric"].isin(_ACTIVITY)
    spread = evaluate_spread(
        scored, split=one.name, measured=measured, n_replicates=_counts(one, measured.shape)
    )
    of_ensemble = student_spread(said.students, said.ensemble, split=one.name, measured=measured)
    of_ensemble = of_ensemble.loc[of_ensemble["metric"].str.startswith("ensemble_")]
    return pd.concat([activity.loc[chosen], spread, of_ensemble], ignore_index=True).assign(truth="measured")


def _described(one: SequenceSet, scored: Sequence[Scored]) -> pd.DataFrame:
    """Return mean and sd of what each model says, widths of intervals, the share flagged, and the number of sequences."""
    rows: list[tuple[str, int, str, str, str, float]] = []
    for each in scored:
        prediction = each.prediction
        counts = _counts(one, prediction.mean.shape)
        quantities = {"activity": prediction.mean, **spread_of(prediction, counts)}
        for quantity, values in quantities.items():
            if values is None:
                continue
            for metric, found in (
                ("mean", values.mean(axis=0)),
                ("sd", np.std(values, axis=0, correction=0)),
            ):
                for target, value in zip(prediction.target_names, found, strict=True):
                    rows.append((each.model, each.index, target, quantity, metric, float(value)))
        for done in each.calibrated:
            assert done.lower is not None
            assert done.upper is not None
            for target, value in zip(done.target_names, (done.upper - done.lower).mean(axis=0), strict=True):
                rows.append(
                    (each.model, each.index, target, "calibrated", f"width_{done.level:g}", float(value))
                )
        if prediction.ood is not None and prediction.ood_score is not None:
            flagged, percentile = float(prediction.ood.mean()), float(prediction.ood_score.mean())
            rows.append((each.model, each.index, ALL_TARGETS, "ood", "flagged", flagged))
            rows.append((each.model, each.index, ALL_TARGETS, "ood", "percentile", percentile))
    rows.append((scored[0].model, 0, ALL_TARGETS, "sequences", "count", float(len(one.codes))))
    names = ["model", "index", "target", "quantity", "metric", "value"]
    return pd.DataFrame(rows, columns=names).assign(split=one.name, truth="")


def _counts(one: SequenceSet, shape: tuple[int, ...]) -> Any:
    return one.n_replicates if isinstance(one.n_replicates, int) else np.broadcast_to(one.n_replicates, shape)
