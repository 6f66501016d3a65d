"""A whole experiment: table in; ensemble, student, metrics, predictions and figures out."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from octodon.artifact.bundle import load, save
from octodon.atomic import atomic_file, write_json
from octodon.data.examples import Examples
from octodon.distillation.distill import as_teachers, distil_students, member_predictions
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.network import FittedNetwork
from octodon.ensemble.train import train_ensemble
from octodon.ensemble.workers import Workers, pick_device
from octodon.errors import RunError
from octodon.experiment.config import ExperimentConfig, dump
from octodon.experiment.folder import RunFolder, claim
from octodon.experiment.prepare import describe, prepare
from octodon.metrics.evaluate import evaluate_split, predictions_frame, read_metrics, write_metrics
from octodon.models.model import ModelConfig
from octodon.records import MemberPredictions
from octodon.report.history import history_figure
from octodon.report.scatter import scatter_figure

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class RunResult:
    """What a finished run left.

    Attributes
    ----------
    folder : Path
    metrics : DataFrame
        Tidy: model, index, split, target, quantity, metric, value.
    seconds : float
        Wall time of this call; 0 if the folder was finished before.
    backbone : str
        As configured; needed to load networks whose code is not part of octodon.
    """

    folder: Path
    metrics: pd.DataFrame
    seconds: float
    backbone: str

    @property
    def student(self) -> Student:
        """The student with the lowest validation loss."""
        student = load(self.folder / "student", backbone=self.backbone)
        assert isinstance(student, Student)
        return student


def run_experiment(
    config: ExperimentConfig,
    out: str | Path,
    *,
    teachers: Ensemble | MemberPredictions | None = None,
    progress: bool = True,
    say: Say = lambda line: None,
) -> RunResult:
    """Run an experiment into a folder, or finish one that was interrupted there.

    Parameters
    ----------
    config : ExperimentConfig
    out : path
        A new folder, or that of an earlier, unfinished run with the same configuration, which goes on.
    teachers : Ensemble or MemberPredictions, optional
        Members trained before or elsewhere; no ensemble is trained then.
    progress : bool
        Show live progress on standard error.
    say : callable
        Receives one line about every stage.

    Raises
    ------
    DataError, ConfigError, RunError
    """
    start = time.perf_counter()
    device = pick_device(config.run.device)
    with claim(Path(out), dump(config)) as folder:
        if folder.is_finished:
            say(f"{folder.path} is finished already; nothing to do")
            metrics = read_metrics(folder.results / "metrics.tsv")
            return RunResult(folder=folder.path, metrics=metrics, seconds=0.0, backbone=config.model.backbone)
        folder.event("start", device=device)
        examples = prepare(config)
        report = describe(examples)
        write_json(folder.path / "data.json", report)
        sizes = ", ".join(f"{name} {n:,}" for name, n in report["splits"].items())
        say(f"data: {len(examples):,} sequences of {examples.length} bp, {sizes}")
        with Workers(config.run.processes if device == "cpu" else 0) as workers:
            provenance = {"config": config.model_dump(mode="json"), "data": report["sha256"]}
            stage = _Stage(config, examples, folder, workers, device, provenance, progress, say)
            trained = teachers if teachers is not None else stage.ensemble()
            students = stage.students(trained)
            metrics = stage.evaluate(trained, students)
        shutil.rmtree(folder.work, ignore_errors=True)
        seconds = time.perf_counter() - start
        write_json(folder.results / "complete.json", {"seconds": round(seconds, 1)})
        folder.event("finished", seconds=round(seconds, 1))
    return RunResult(folder=folder.path, metrics=metrics, seconds=seconds, backbone=config.model.backbone)


@dataclass(frozen=True)
class _Stage:
    """The stages of one run; each finds its finished result on disk and goes on from there."""

    config: ExperimentConfig
    examples: Examples
    folder: RunFolder
    workers: Workers
    device: str
    provenance: dict[str, Any]
    progress: bool
    say: Say

    @property
    def model(self) -> ModelConfig:
        return ModelConfig(
            backbone=self.config.model.backbone,
            length=self.examples.length,
            n_targets=len(self.examples.target_names),
            head=self.config.ensemble.head,
            options=self.config.model.options,
        )

    def ensemble(self) -> Ensemble:
        path = self.folder.path / "ensemble"
        if (path / "config.json").is_file():
            self.say(f"ensemble: kept from {path}")
            loaded = load(path, backbone=self.config.model.backbone)
            if not isinstance(loaded, Ensemble):
                raise RunError(
                    f"{path}: holds a {type(loaded).__name__}, expected an ensemble; use a new folder"
                )
            return loaded
        self.say(f"ensemble: training {self.config.ensemble.members} members")
        start = time.perf_counter()
        trained = train_ensemble(
            self.examples,
            self.model,
            self.config.ensemble,
            seed=self.config.seed,
            folder=self.folder.work / "ensemble",
            workers=self.workers,
            device=self.device,
            progress=self.progress,
        )
        save(trained, path, self.provenance)
        _write_parquet(history_frame("member", trained.members), path / "history.parquet")
        self._report("ensemble", start, trained.members)
        return trained

    def students(self, teachers: Ensemble | MemberPredictions) -> list[Student]:
        config = self.config.distill
        self.say(
            f"student: distilling {config.students}, with {config.copies} labelled copies of each sequence"
        )
        start = time.perf_counter()
        students = distil_students(
            as_teachers(teachers, self.examples.target_names),
            self.examples,
            self.model,
            config,
            seed=self.config.seed,
            folder=self.folder.work / "students",
            workers=self.workers,
            device=self.device,
            progress=self.progress,
        )
        fitted = [student.fitted for student in students]
        best = min(
            students, key=lambda student: min(record["valid_loss"] for record in student.fitted.history)
        )
        save(best, self.folder.path / "student", self.provenance)
        _write_parquet(history_frame("student", fitted), self.folder.path / "student" / "history.parquet")
        if len(students) > 1:
            for student in students:
                target = self.folder.path / "students" / f"student_{student.fitted.index:03d}"
                target.parent.mkdir(exist_ok=True)
                save(student, target, self.provenance)
        self._report("student", start, fitted)
        return students

    def evaluate(self, teachers: Ensemble | MemberPredictions, students: list[Student]) -> pd.DataFrame:
        start = time.perf_counter()
        self.folder.results.mkdir(exist_ok=True)
        self.folder.figures.mkdir(exist_ok=True)
        source = as_teachers(teachers, self.examples.target_names)
        assert self.examples.splits is not None
        others = [str(s) for s in pd.unique(self.examples.splits) if s not in ("train", "valid", "test")]
        tables = []
        for split in ["valid", "test", *others]:
            rows = self.examples.subset(split)
            members = member_predictions(source, rows, self.workers, self.device)
            ids = [str(name) for name in rows.ids]
            predictions = [student.predict(rows.codes, ids, device=self.device) for student in students]
            tables.append(
                evaluate_split(split=split, members=members, students=predictions, measured=rows.targets)
            )
            best = predictions[_best(students)]
            _write_parquet(
                predictions_frame(best, rows.targets), self.folder.results / f"predictions_{split}.parquet"
            )
            if split == "test":
                scatter_figure(
                    best,
                    rows.targets,
                    members.combine(),
                    self.folder.figures / "test.svg",
                    self.examples.units,
                )
        metrics = pd.concat(tables, ignore_index=True)
        write_metrics(metrics, self.folder.results / "metrics.tsv")
        history_figure(self._history(), self.folder.figures / "training.svg")
        self.folder.event("evaluated", seconds=round(time.perf_counter() - start, 1))
        return metrics

    def _history(self) -> pd.DataFrame:
        paths = [self.folder.path / name / "history.parquet" for name in ("ensemble", "student")]
        return pd.concat([pd.read_parquet(path) for path in paths if path.is_file()], ignore_index=True)

    def _report(self, what: str, start: float, networks: Sequence[FittedNetwork]) -> None:
        seconds = time.perf_counter() - start
        restarted = [network.index for network in networks if network.attempt > 0]
        if restarted:
            self.say(f"{what}: networks {restarted} diverged and were trained again from their next seed")
        self.folder.event(f"{what} finished", seconds=round(seconds, 1), restarted=restarted)
        self.say(f"{what}: done in {seconds:.0f} s")


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
