"""The stages of a run: ensemble, students, evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy import ndarray

from octodon.artifact.bundle import load, save, save_calibration
from octodon.artifact.detector import write_detector
from octodon.artifact.seen import save_seen
from octodon.artifact.selftest import write_selftest
from octodon.atomic import atomic_file
from octodon.baselines.kmer_ridge import KmerRidge
from octodon.data.calibration_rows import CALIBRATION
from octodon.data.examples import Examples
from octodon.data.noise import without_offsets
from octodon.distillation.cached import CachedTeachers
from octodon.distillation.distill import as_teachers, distil_students, member_predictions
from octodon.distillation.effects import learn_effects
from octodon.distillation.student import Student
from octodon.distillation.teachers import Teachers
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution
from octodon.ensemble.network import FittedNetwork
from octodon.ensemble.progress import found_before
from octodon.ensemble.stacked.fit import read_choice
from octodon.ensemble.train import train_ensemble
from octodon.errors import RunError
from octodon.experiment.beside import KMER_RIDGE, fit_beside, score_beside, write_beside
from octodon.experiment.config import ExperimentConfig
from octodon.experiment.detect import check_detector, detecting
from octodon.experiment.folder import RunFolder
from octodon.experiment.uncertainty import (
    Calibrations,
    Named,
    Uncertainty,
    calibrate_all,
    check_calibration,
    evaluate_uncertainty,
    named_predictions,
    replicate_counts,
    uncertainty_figures,
    write_table,
)
from octodon.metrics.curves import risk_curves
from octodon.metrics.evaluate import evaluate_split, predictions_frame, write_metrics
from octodon.metrics.spread import LEVELS
from octodon.metrics.strata import worst_cells
from octodon.models.model import ModelConfig
from octodon.predict.ood import ood_percentile
from octodon.records import MemberPredictions, Prediction
from octodon.report.history import history_figure
from octodon.report.risk_coverage import risk_coverage_figure
from octodon.report.scatter import scatter_figure
from octodon.report.style import rows_where
from octodon.seeds import derive_seed

Say = Callable[[str], None]
Detecting = Student | Ensemble


@dataclass(frozen=True)
class Stages:
    """The stages of one run; each goes on from the networks and answers that it finds finished on disk."""

    config: ExperimentConfig
    examples: Examples
    folder: RunFolder
    execution: Execution
    provenance: dict[str, Any]
    say: Say

    @property
    def model(self) -> ModelConfig:
        """What a member is."""
        return ModelConfig(
            backbone=self.config.model.backbone,
            length=self.examples.length,
            n_targets=len(self.examples.target_names),
            head=self.config.ensemble.head,
            options=self.config.model.options,
        )

    def ensemble(self, name: Literal["ensemble", "ensemble_activity"] = "ensemble") -> Ensemble:
        """Train an ensemble into the folder ``name``, or take the one that this run trained before it was interrupted.

        ``ensemble_activity`` learns the activity alone, from the same rows: stage 1 of the lentiMPRA protocol. Its members
        are other random draws than those of ``ensemble``.
        """
        path = self.folder.path / name
        settings, seed = self.config.ensemble, self.config.seed
        if name == "ensemble_activity":
            settings = settings.model_copy(update={"head": self.config.activity_ensemble})
            seed = derive_seed(seed, name)
        # the history is written last: without it the finished members are gathered again, in no time
        if (path / "history.parquet").is_file():
            self.say(f"{name}: kept from {path}")
            loaded = load(path, backbone=self.config.model.backbone)
            if not isinstance(loaded, Ensemble):
                raise RunError(
                    f"{path}: holds a {type(loaded).__name__}, expected an ensemble; use a new folder"
                )
            return loaded
        self.say(f"{name}: training {settings.members} members ({settings.head})")
        self._say_found(name, "member")
        start = time.perf_counter()
        trained = train_ensemble(
            self.examples,
            self.model,
            settings,
            seed=seed,
            folder=self.folder.work / name,
            execution=self.execution,
        )
        save(trained, path, self.provenance)
        _write_parquet(history_frame("member", trained.members), path / "history.parquet")
        self._say_strategy(name, self.folder.work / name)
        self._report(name, start, trained.members)
        return trained

    def students(self, teachers: Ensemble | MemberPredictions) -> list[Student]:
        """Distil the students and save them, the best by validation loss as ``student/``."""
        config = self.config.distill
        copies = config.copies_of(len(self.examples.subset("train")))
        self.say(f"student: distilling {config.students}, with {copies} labelled copies of each sequence")
        self._say_found("students", "student")
        start = time.perf_counter()
        students = distil_students(
            self._asked_once(teachers),
            self.examples,
            self.model,
            config,
            seed=self.config.seed,
            folder=self.folder.work / "students",
            execution=self.execution,
        )
        students = self._learn_effects(students, teachers)
        fitted = [student.fitted for student in students]
        save(students[_best(students)], self.folder.path / "student", self.provenance)
        _write_parquet(history_frame("student", fitted), self.folder.path / "student" / "history.parquet")
        if len(students) > 1:
            for student in students:
                target = self.folder.path / "students" / f"student_{student.fitted.index:03d}"
                target.parent.mkdir(exist_ok=True)
                save(student, target, self.provenance)
        self._say_strategy("student", self.folder.work / "students")
        self._report("student", start, fitted)
        return students

    def _learn_effects(
        self, students: list[Student], teachers: Ensemble | MemberPredictions
    ) -> list[Student]:
        """Return the students, the best of them with the std of differences, if somebody can label pairs for it."""
        source = self._asked_once(teachers)
        if not self.config.distill.effects or isinstance(source, MemberPredictions):
            return students
        start, best = time.perf_counter(), _best(students)
        train, valid = (self.examples.subset(name).codes for name in ("train", "valid"))
        found = learn_effects(
            students[best], source, train, valid, seed=self.config.seed, execution=self.execution
        )
        if found is None:
            return students
        names = self.examples.target_names
        said = ", ".join(f"{name} {r:.2f}" for name, r in zip(names, found.pearson, strict=True))
        self.say(f"effects: std of differences learnt, r with the members' {said}")
        self.folder.event(
            "effects learnt",
            seconds=round(time.perf_counter() - start, 1),
            pearson=found.pearson.round(4).tolist(),
            pearson_of_naive_sum=found.naive.round(4).tolist(),
            naive_times_too_large=found.naive_ratio.round(3).tolist(),
        )
        return [found.student if index == best else student for index, student in enumerate(students)]

    def evaluate(self, teachers: Ensemble | MemberPredictions, students: list[Student]) -> pd.DataFrame:
        """Predict every split but the training one; write metrics, predictions and figures."""
        start = time.perf_counter()
        self.folder.results.mkdir(exist_ok=True)
        self.folder.figures.mkdir(exist_ok=True)
        source = self._asked_once(teachers)
        students, detector = self.detect(teachers, students)
        calibrated = self.calibrate(source, students, detector)
        splits = evaluated_splits(self.examples, source)
        ridge = fit_beside(self.examples)
        parts = [
            self._evaluate_split(split, source, students, calibrated, detector, ridge) for split in splits
        ]
        metrics = pd.concat([table for table, _ in parts], ignore_index=True)
        self._write_coverage([found for _, found in parts], _best(students))
        write_metrics(metrics, self.folder.results / "metrics.tsv")
        history_figure(self._history(), self.folder.figures / "training.svg")
        self.folder.event("evaluated", seconds=round(time.perf_counter() - start, 1))
        return metrics

    def detect(
        self, teachers: Ensemble | MemberPredictions, students: list[Student]
    ) -> tuple[list[Student], Detecting | None]:
        """Fit the out-of-distribution detector of every model, store it in the bundles, and return the students with theirs.

        Second is who scores the sequences for ensemble and individuals: the ensemble, else the best student.
        """
        if check_detector(self.config.ood, self.examples) is not None:
            return students, None
        own = isinstance(teachers, Ensemble) and (self.folder.path / "ensemble" / "config.json").is_file()
        models: list[Student | Ensemble] = [
            *students,
            *([teachers] if isinstance(teachers, Ensemble) else []),
        ]
        seed, device = derive_seed(self.config.seed, "detector"), self.execution.device_here
        made = detecting(models, self.examples, self.config.ood, seed=seed, device=device)
        done = [model for model in made if isinstance(model, Student)]
        best, root = _best(students), self.folder.path
        self._write_detector(root / "student", done[best])
        for student in done if len(done) > 1 else ():
            self._write_detector(root / "students" / f"student_{student.fitted.index:03d}", student)
        if own:
            self._write_detector(root / "ensemble", made[-1])
        self.folder.event("detector fitted", score=self.config.ood.score)
        return done, made[-1] if isinstance(teachers, Ensemble) else done[best]

    def calibrate(
        self,
        teachers: Teachers | MemberPredictions,
        students: list[Student],
        detector: Detecting | None = None,
    ) -> Calibrations:
        """Calibrate every model on rows that none has seen, and store what was learnt in the bundles."""
        self._record_seen()
        detects = detector is not None
        if check_calibration(self.config.calibrate, self.examples, detects=detects) is not None:
            return Calibrations()
        rows = self.examples.subset(CALIBRATION)
        members = member_predictions(teachers, rows, self.execution) if covers(teachers, rows) else None
        models = named_predictions(
            members, self._ask(students, rows), self._ood_score(detector, members, rows)
        )
        made = calibrate_all(models, rows, self.config.calibrate, self.config.seed)
        root, best = self.folder.path, _best(students)
        said = next(prediction for *which, prediction in models if which == ["student", best])
        path = self.folder.results / f"predictions_{CALIBRATION}.parquet"
        _write_parquet(predictions_frame(said, rows.targets), path)
        save_calibration(root / "student", made.by_model["student", best])
        for index, student in enumerate(students if len(students) > 1 else ()):
            folder = root / "students" / f"student_{student.fitted.index:03d}"
            save_calibration(folder, made.by_model["student", index])
        if members is not None and (root / "ensemble" / "config.json").is_file():
            save_calibration(root / "ensemble", made.by_model["ensemble", 0])
        self.folder.event("calibrated", method=self.config.calibrate.method, rows=len(rows))
        self.say(f"calibration: {made.by_model['student', best].describe()}, on {len(rows):,} rows")
        return made

    def _record_seen(self) -> None:
        """Leave in each bundle of this run which sequences trained or stopped its networks."""
        assert self.examples.splits is not None
        seen = self.examples.codes[np.isin(self.examples.splits, ("train", "valid"))]
        for path in self.folder.path.rglob("weights.safetensors"):
            if self.folder.work not in path.parents:
                save_seen(path.parent, seen)

    def _write_detector(self, bundle: Path, model: Detecting) -> None:
        assert model.detector is not None
        write_detector(bundle, model.detector)
        write_selftest(bundle, model)  # its score is part of what the bundle says

    def _ood_score(
        self, detector: Detecting | None, members: MemberPredictions | None, rows: Examples
    ) -> ndarray | None:
        if detector is None or members is None:
            return None
        whole = members.combine() if isinstance(detector, Ensemble) else None
        return ood_percentile(detector, rows.codes, whole)

    def _ask(self, students: list[Student], rows: Examples) -> list[Prediction]:
        ids = [str(name) for name in rows.ids]
        device = self.execution.device_here
        return [student.predict(rows.codes, ids, device=device, calibrated=False) for student in students]

    def _write_coverage(self, found: Sequence[Uncertainty], student: int) -> None:
        tables = [part.coverage for part in found if not part.coverage.empty]
        if not tables:
            return
        write_table(pd.concat(tables, ignore_index=True), self.folder.results / "coverage.tsv")
        for table in tables:
            chosen = rows_where(table, model="student", index=student, level=LEVELS[2])
            for line in worst_cells(chosen):
                self.say(f"worst cell of {chosen['split'].iloc[0]}: {line}")

    def _evaluate_split(
        self,
        split: str,
        teachers: Teachers | MemberPredictions,
        students: list[Student],
        calibrated: Calibrations,
        detector: Detecting | None,
        ridge: KmerRidge,
    ) -> tuple[pd.DataFrame, Uncertainty]:
        rows = self.examples.subset(split)
        members = member_predictions(teachers, rows, self.execution)
        said = self._ask(students, rows)
        position = _best(students)
        best = said[position]
        mine = calibrated.by_model.get(("student", position))
        predictions = predictions_frame(best if mine is None else mine.apply(best), rows.targets)
        _write_parquet(predictions, self.folder.results / f"predictions_{split}.parquet")
        beside, ridge_said = score_beside(ridge, rows, split)
        if split == "test":
            figure = self.folder.figures / "test.svg"
            ensemble = members.combine()
            scatter_figure(best, rows.targets, ensemble, figure, self.examples.units)
            both = [("ensemble", ensemble), (KMER_RIDGE, ridge_said)]
            write_beside(self.folder.results, split, rows, both)
        models = named_predictions(members, said, self._ood_score(detector, members, rows))
        train = self.examples.subset("train").codes
        found = evaluate_uncertainty(split, rows, models, calibrated, train_codes=train)
        if split == "test":
            uncertainty_figures(found, self.folder.figures, self.examples.units, position)
            write_table(found.curves, self.folder.results / "intervals_test.tsv")
            self._draw_risk(models, rows, position)
        noise = without_offsets(self.examples).subset(split)
        table = evaluate_split(
            split=split,
            members=members,
            students=said,
            measured=rows.targets,
            replicate_std=noise.replicate_std,
            n_replicates=noise.n_replicates,
        )
        tables = [table, beside, found.metrics, *self._evaluate_activity_ensemble(rows, split)]
        return pd.concat(tables, ignore_index=True), found

    def _draw_risk(self, models: Sequence[Named], rows: Examples, student: int) -> None:
        chosen = [named for named in models if named[0] != "individual"]
        curves = risk_curves(chosen, rows.targets.astype(np.float64), replicate_counts(rows))
        if not curves.empty:
            figure = self.folder.figures / "risk_coverage.svg"
            risk_coverage_figure(curves, figure, self.examples.units, student=student)

    def _evaluate_activity_ensemble(self, rows: Examples, split: str) -> list[pd.DataFrame]:
        """Score stage 1 of the lentiMPRA protocol, if there is one, as ``activity_individual`` and ``activity_ensemble``."""
        if not (self.folder.path / "ensemble_activity").is_dir():
            return []
        ensemble = self.ensemble("ensemble_activity")
        members = ensemble.predict_members(rows.codes, [str(name) for name in rows.ids], self.execution)
        table = evaluate_split(split=split, members=members, students=[], measured=rows.targets)
        return [table.assign(model="activity_" + table["model"])]

    def _asked_once(self, teachers: Ensemble | MemberPredictions) -> Teachers | MemberPredictions:
        source = as_teachers(teachers, self.examples.target_names)
        if isinstance(source, MemberPredictions):
            return source
        return CachedTeachers(teachers=source, folder=self.folder.work / "answers")

    def _say_found(self, folder: str, role: str) -> None:
        found = found_before(self.folder.work / folder, role)
        if found:
            self.say(f"  from before: {found}")

    def _history(self) -> pd.DataFrame:
        paths = [self.folder.path / name / "history.parquet" for name in ("ensemble", "student")]
        return pd.concat([pd.read_parquet(path) for path in paths if path.is_file()], ignore_index=True)

    def _say_strategy(self, what: str, folder: Path) -> None:
        choice = read_choice(folder)
        if choice is not None:
            self.say(f"{what}: {choice.line()}")
            self.folder.event(f"{what} strategy", **asdict(choice))

    def _report(self, what: str, start: float, networks: Sequence[FittedNetwork]) -> None:
        seconds = time.perf_counter() - start
        restarted = [network.index for network in networks if network.attempt > 0]
        if restarted:
            self.say(f"{what}: networks {restarted} diverged and were trained again from their next seed")
        self.folder.event(f"{what} finished", seconds=round(seconds, 1), restarted=restarted)
        self.say(f"{what}: done in {seconds:.0f} s")


def evaluated_splits(examples: Examples, teachers: Teachers | MemberPredictions) -> list[str]:
    """Return valid, test and the further splits that a table of teachers covers, but not the calibration rows."""
    assert examples.splits is not None
    known = ("train", "valid", "test", CALIBRATION)
    others = [str(s) for s in pd.unique(examples.splits) if s not in known]
    return ["valid", "test", *(s for s in others if covers(teachers, examples.subset(s)))]


def covers(teachers: Teachers | MemberPredictions, rows: Examples) -> bool:
    """Return whether the teachers answer for these rows: a table may not hold them all."""
    if not isinstance(teachers, MemberPredictions):
        return True
    return set(teachers.ids).issuperset(map(str, rows.ids))


def history_frame(network: str, fitted: Sequence[FittedNetwork]) -> pd.DataFrame:
    """Return the training history of networks: network, index, epoch, losses, learning rate, seconds."""
    rows = [{"network": network, "index": f.index} | record for f in fitted for record in f.history]
    return pd.DataFrame(rows)


def _best(students: list[Student]) -> int:
    losses = [min(record["valid_loss"] for record in student.fitted.history) for student in students]
    return losses.index(min(losses))


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    with atomic_file(path) as partial:
        frame.to_parquet(partial, index=False)
