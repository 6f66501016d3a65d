"""What the bundles of a run learn after training: what is unlike their data, how large their errors are, what they have seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from octodon.artifact.bundle import save_calibration
from octodon.artifact.detector import write_detector
from octodon.artifact.seen import save_seen
from octodon.artifact.selftest import write_selftest
from octodon.atomic import write_json
from octodon.data.calibration_rows import CALIBRATION
from octodon.distillation.distill import member_predictions
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.experiment.answers import Answers, Detecting, Trained, best_student
from octodon.experiment.detect import check_detector, detecting
from octodon.experiment.folder import RunFolder, write_parquet
from octodon.experiment.stages import Stages, covers
from octodon.experiment.uncertainty import Calibrations, calibrate_all, check_calibration
from octodon.metrics.evaluate import predictions_frame
from octodon.records import MemberPredictions
from octodon.seeds import derive_seed


def detect(stages: Stages, teachers: Ensemble | MemberPredictions, students: Sequence[Student]) -> Trained:
    """Fit the out-of-distribution detector of every model, store it in the bundles, and return the models with theirs.

    The ensemble, else the best student, scores the sequences for ensemble and individuals.
    """
    source, config = stages.asked_once(teachers), stages.config.ood
    if check_detector(config, stages.examples) is not None:
        return Trained(teachers=source, students=students, detector=None)
    models: list[Detecting] = [*students, *([teachers] if isinstance(teachers, Ensemble) else [])]
    seed, device = derive_seed(stages.config.seed, "detector"), stages.execution.device_here
    made = detecting(models, stages.examples, config, seed=seed, device=device)
    done = [model for model in made if isinstance(model, Student)]
    best, folder = best_student(students), stages.folder
    _write_detector(folder.path / "student", done[best])
    for student in done if len(done) > 1 else ():
        _write_detector(_bundle_of(folder, student.fitted.index), student)
    if isinstance(teachers, Ensemble) and _has_ensemble(folder):
        _write_detector(folder.path / "ensemble", made[-1])
    folder.event("detector fitted", score=config.score)
    detector = made[-1] if isinstance(teachers, Ensemble) else done[best]
    return Trained(teachers=source, students=done, detector=detector)


def calibrate(stages: Stages, trained: Trained) -> Calibrations:
    """Calibrate every model on rows that none has seen, and store what was learnt in the bundles."""
    _record_seen(stages)
    config, detects = stages.config.calibrate, trained.detector is not None
    if check_calibration(config, stages.examples, detects=detects) is not None:
        return Calibrations()
    rows = stages.examples.subset(CALIBRATION)
    known = covers(trained.teachers, rows)
    members = member_predictions(trained.teachers, rows, stages.execution) if known else None
    said = trained.ask(rows, members, stages.execution.device_here)
    made = calibrate_all(said.named(), rows, config, stages.config.seed)
    path = stages.folder.results / f"predictions_{CALIBRATION}.parquet"
    write_parquet(predictions_frame(said.students[trained.best], rows.targets), path)
    _store(stages.folder, made, trained, said)
    stages.folder.event("calibrated", method=config.method, rows=len(rows))
    kept = made.by_model["student", trained.best]
    stages.say(f"calibration: {kept.describe()}, on {len(rows):,} rows{kept.rows_in_words()}")
    return made


def _store(folder: RunFolder, made: Calibrations, trained: Trained, said: Answers) -> None:
    """Store the calibrations in the bundles of students and ensemble, and the one that results are of beside these."""
    kept = made.by_model["student", trained.best]
    save_calibration(folder.path / "student", kept)
    write_json(folder.results / "calibration.json", kept.to_dict())
    for index, student in enumerate(trained.students) if len(trained.students) > 1 else ():
        save_calibration(_bundle_of(folder, student.fitted.index), made.by_model["student", index])
    if said.members is not None and _has_ensemble(folder):
        save_calibration(folder.path / "ensemble", made.by_model["ensemble", 0])


def _record_seen(stages: Stages) -> None:
    """Leave in each bundle of this run which sequences trained or stopped its networks."""
    assert stages.examples.splits is not None
    seen = stages.examples.codes[np.isin(stages.examples.splits, ("train", "valid"))]
    for path in stages.folder.path.rglob("weights.safetensors"):
        if stages.folder.work not in path.parents:
            save_seen(path.parent, seen)


def _write_detector(bundle: Path, model: Detecting) -> None:
    assert model.detector is not None
    write_detector(bundle, model.detector)
    write_selftest(bundle, model)  # its score is part of what the bundle says


def _has_ensemble(folder: RunFolder) -> bool:
    """Return whether the ensemble is this run's own; teachers that were given lie elsewhere."""
    return (folder.path / "ensemble" / "config.json").is_file()


def _bundle_of(folder: RunFolder, index: int) -> Path:
    """Return the bundle of one of several students."""
    return folder.path / "students" / f"student_{index:03d}"
