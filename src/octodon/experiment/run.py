"""A whole experiment: table in; ensemble, student, metrics, predictions and figures out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from octodon.artifact.bundle import load
from octodon.atomic import write_json
from octodon.data.examples import Examples
from octodon.data.on_disk import with_codes_on_disk
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import check_executor, executing
from octodon.errors import RunError
from octodon.experiment.baselines import run_baseline
from octodon.experiment.config import ExperimentConfig, dump, preset_note
from octodon.experiment.detect import check_detector
from octodon.experiment.evaluation import evaluate
from octodon.experiment.examine import examine
from octodon.experiment.folder import claim
from octodon.experiment.heads import with_heads
from octodon.experiment.prepare import describe, prepare, source_hashes
from octodon.experiment.stages import Say, Stages
from octodon.experiment.uncertainty import check_calibration
from octodon.experiment.validate import identify, identify_beside_weights, identify_code, validate
from octodon.metrics.evaluate import read_metrics
from octodon.records import MemberPredictions
from octodon.report.page import write_report


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
    examples: Examples | None = None,
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
    examples : Examples, optional
        What ``prepare(config)`` returned, by a caller who needed it already.
    progress : bool
        Show live progress on standard error.
    say : callable
        Receives one line about every stage.

    Raises
    ------
    DataError
        The data, or the teachers' predictions for them, cannot be used.
    ConfigError
        A setting cannot work with these data; found before anything is trained.
    RunError
        The folder is taken, the disk is full, a GPU or a cluster is missing, or a network diverges from every seed.
    BundleError
        The folder's ensemble is damaged.
    """
    try:
        return _run(config, Path(out), teachers, examples, progress, say)
    except OSError as error:
        raise RunError(
            f"--out {out}: {error}; what is finished is kept: make room, then run the same command again"
        ) from error


def _run(
    config: ExperimentConfig,
    out: Path,
    teachers: Ensemble | MemberPredictions | None,
    examples: Examples | None,
    progress: bool,
    say: Say,
) -> RunResult:
    start = time.perf_counter()
    given = {"teachers": None if teachers is None else identify(teachers)}
    given |= {"beside_weights": identify_beside_weights(teachers)}
    check_executor(**config.run.model_dump())
    with claim(out, dump(config)) as folder:
        if folder.is_finished:
            sources = source_hashes(config)
            code = identify_code(config.model.backbone)
            folder.refuse_changed(given | {"code": code, "sources": sources})
            folder.clean(but="baselines")  # one that octodon baseline began may go on
            say(f"{folder.path} is finished already; nothing to do")
            if not (folder.path / "report.html").is_file():  # killed before it was written, or an older run
                write_report(folder.path)
            metrics = read_metrics(folder.results / "metrics.tsv")
            return RunResult(folder=folder.path, metrics=metrics, seconds=0.0, backbone=config.model.backbone)
        if folder.is_begun:
            folder.resume()
            say(f"{folder.path} holds an unfinished run of this experiment; it goes on")
        examples = prepare(config) if examples is None else examples
        config = with_heads(config, examples, teachers)
        validate(config, examples, teachers)
        undetected = check_detector(config.ood, examples)
        uncalibrated = check_calibration(config.calibrate, examples, detects=undetected is None)
        code = identify_code(config.model.backbone)
        report: dict[str, Any] = describe(examples) | given | {"code": code}
        report |= {"sources": source_hashes(config), "uncalibrated": uncalibrated}
        folder.begin(dump(config), report)
        examples = with_codes_on_disk(examples, folder.work / "codes.npy")
        sizes = ", ".join(f"{name} {n:,}" for name, n in report["splits"].items())
        say(f"data: {len(examples):,} sequences of {examples.length} bp, {sizes}")
        note = preset_note(config)
        if note is not None:
            say(f"note: {note}")
        if uncalibrated is not None:
            say(f"no calibration: {uncalibrated}")
        if undetected is not None:
            say(f"no out-of-distribution detector: {undetected}")
        with executing(**config.run.model_dump(), progress=progress) as execution:
            folder.event("start", executor=config.run.executor, device=execution.device)
            provenance = {"config": config.model_dump(mode="json"), "data": report["sha256"]}
            stages = Stages(config, examples, folder, execution, provenance, say)
            if config.activity_ensemble is not None and teachers is None:
                stages.ensemble("ensemble_activity")
            trained = teachers if teachers is not None else stages.ensemble()
            metrics = evaluate(stages, trained, stages.students(trained))
            for name, settings in config.baselines.items():
                run_baseline(stages, name, settings)
            examine(stages)
        seconds = time.perf_counter() - start
        # first the mark, then the cleaning: killed in between, the folder is finished and only untidy
        write_json(folder.results / "complete.json", {"seconds": round(seconds, 1)})
        folder.clean()
        write_report(folder.path)
        folder.event("finished", seconds=round(seconds, 1))
    return RunResult(folder=folder.path, metrics=metrics, seconds=seconds, backbone=config.model.backbone)
