"""Baselines beside a run: the same data, split, settings and calibration rows as its ensemble and student."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from octodon.artifact.bundle import load, read_provenance, save
from octodon.artifact.seen import save_seen
from octodon.atomic import remove_partials, settled
from octodon.baselines.fit import make_baseline
from octodon.calibration.fit import fit_calibration
from octodon.data.calibration_rows import CALIBRATION
from octodon.data.examples import Examples
from octodon.ensemble.config import MemberTraining
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution, executing
from octodon.ensemble.member_labels import resolve_head, with_noise_as_learnt
from octodon.ensemble.train import train_ensemble
from octodon.errors import RunError
from octodon.experiment.config import ExperimentConfig, load_config
from octodon.experiment.detect import check_detector, detecting
from octodon.experiment.folder import RunFolder, claim, write_parquet
from octodon.experiment.prepare import hashes, prepare
from octodon.experiment.stages import Say, Stages, evaluated_splits
from octodon.experiment.uncertainty import (
    Calibrations,
    calibrated_for,
    check_calibration,
    evaluate_uncertainty,
)
from octodon.experiment.validate import identify_code
from octodon.metrics.baseline_table import baseline_table
from octodon.metrics.evaluate import evaluate_split, predictions_frame, read_metrics, write_metrics
from octodon.models.model import ModelConfig
from octodon.models.observe import with_ood
from octodon.ood import scores
from octodon.records import Prediction
from octodon.seeds import derive_seed
from octodon.settings import merge

TABLE = "baselines.tsv"
"""In the folder of results; columns as metrics.tsv, the model being the name of the baseline."""


@dataclass(frozen=True, kw_only=True)
class _TrainInFolder:
    """Trains as the ensemble of the run was trained, resumable in its folder."""

    data: Examples
    config: ExperimentConfig
    model: ModelConfig
    folder: Path
    execution: Execution

    def __call__(self, *, members: int | None, head: str | None, training: Mapping[str, Any]) -> Ensemble:
        settings = self.config.ensemble
        head = resolve_head(settings.head if head is None else head, self.data)
        changed = MemberTraining(**merge(settings.training.model_dump(), training))
        update = {"members": members or settings.members, "head": head, "folds": 1}
        return train_ensemble(
            self.data,
            self.model,
            settings.model_copy(update={**update, "training": changed}),
            seed=self.config.seed,
            folder=self.folder,
            execution=self.execution,
        )


def add_baseline(
    run: Path,
    name: str,
    settings: Mapping[str, Any] | None = None,
    *,
    progress: bool = True,
    say: Say = lambda line: None,
) -> pd.DataFrame:
    """Train a baseline beside a finished run and return its rows of results/baselines.tsv.

    Raises
    ------
    RunError
        No finished run there, in use, its data changed since, or a baseline of that name with other settings.
    ConfigError
        An unknown baseline or setting.
    """
    text = run / "config.toml"
    if not all(settled(path).is_file() for path in (text, run / "results" / "complete.json")):
        raise RunError(f"{run}: no finished run here; give the folder of octodon run, for example run")
    make_baseline(name, settings or {}, f"baseline {name}")
    config = load_config(text)
    with claim(run, text.read_text(encoding="utf-8")) as folder:
        remove_partials(folder.work)  # of a call that was killed; elsewhere other commands may be writing
        examples = prepare(config)
        now = {"sha256": hashes(examples), "code": identify_code(config.model.backbone)}
        folder.refuse_changed(now)
        if config.run.executor != "local":
            say(f"{name}: computed on this machine, not by {config.run.executor} as the run was")
        with executing(
            processes=config.run.processes,
            device=config.run.device_here,
            progress=progress,
            strategy=config.run.strategy,
        ) as execution:
            provenance = {"config": config.model_dump(mode="json"), "data": now["sha256"]}
            table = run_baseline(
                Stages(config, examples, folder, execution, provenance, say), name, settings or {}
            )
        shutil.rmtree(_work(folder, name, settings or {}), ignore_errors=True)
        folder.clean(but="baselines")
    return table


def run_baseline(stages: Stages, name: str, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Train, calibrate and evaluate one baseline in the folder of a run; return its rows of the results table.

    It leaves ``baselines/NAME/`` (a bundle), ``results/predictions_SPLIT_NAME.parquet`` and its rows of ``baselines.tsv``.
    """
    path = stages.folder.path / "baselines" / name
    made_of = {"name": name, "settings": dict(settings)}
    if (settled(path) / "config.json").is_file():
        before = read_provenance(path)
        if before.get("baseline") != made_of:
            raise RunError(
                f"{path}: holds this baseline with other settings; move it away first, nothing is written over"
            )
        stages.say(f"{name}: kept from {path}")
        model = load(path, backbone=stages.config.model.backbone)
        assert isinstance(model, Ensemble)
        if before["config"]["calibrate"] != stages.provenance["config"]["calibrate"]:
            stages.say(f"{name}: calibrated anew, since [calibrate] has changed")
            model = _calibrated(stages, replace(model, calibration=None))
            save(model, path, stages.provenance | {"baseline": made_of})
    else:
        model = _train(stages, name, settings)
        path.parent.mkdir(exist_ok=True)
        save(model, path, stages.provenance | {"baseline": made_of})
        stages.folder.event("baseline", name=name)
    assert stages.examples.splits is not None
    # for a bundle that was kept, too: its record may be what was missing when it was killed
    save_seen(path, stages.examples.codes[np.isin(stages.examples.splits, ("train", "valid"))])
    return _evaluate(stages, name, model)


def _train(stages: Stages, name: str, settings: Mapping[str, Any]) -> Ensemble:
    stages.say(f"{name}: training")
    chosen = make_baseline(name, settings, f"baselines.{name}")
    training = _TrainInFolder(
        data=stages.examples,
        config=stages.config,
        model=stages.model,
        folder=_work(stages.folder, name, settings),
        execution=stages.execution,
    )
    return _calibrated(stages, _detecting(stages, chosen.fit(stages.examples, training)))


def _work(folder: RunFolder, name: str, settings: Mapping[str, Any]) -> Path:
    """Return where a baseline is trained: what a call with other settings left must not be taken for networks of these."""
    text = json.dumps(dict(settings), sort_keys=True, default=repr)
    return folder.work / "baselines" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _detecting(stages: Stages, model: Ensemble) -> Ensemble:
    """Return the model with a detector as the run's own models have; without one where it rests on an epistemic std."""
    config, examples = stages.config.ood, stages.examples
    if check_detector(config, examples) is not None or scores[config.score].needs == "epistemic_std":
        return model
    seed, device = derive_seed(stages.config.seed, "detector"), stages.execution.device_here
    return detecting([model], examples, config, seed=seed, device=device)[0]


def _calibrated(stages: Stages, model: Ensemble) -> Ensemble:
    """Return the model calibrated as the run's own models are, or as it is where these are not."""
    config, examples = stages.config.calibrate, stages.examples
    if config.method == "mondrian_ood" and model.detector is None:
        stages.say(
            "it has no out-of-distribution score, by which this run calibrates: its intervals are left as they are"
        )
        return model
    if check_calibration(config, examples, detects=model.detector is not None) is not None:
        return model
    rows = examples.subset(CALIBRATION)
    made = fit_calibration(
        _ask(stages, model, rows),
        rows.targets.astype(np.float64),
        method=config.method,
        level=config.level,
        replicates=rows.n_replicates,
        options=config.options,
        seed=stages.config.seed,
    )
    return replace(model, calibration=made)


def _ask(stages: Stages, model: Ensemble, rows: Examples) -> Prediction:
    ids = [str(name) for name in rows.ids]
    said = model.predict_members(rows.codes, ids, stages.execution).combine()
    return with_ood(said, model.detector, rows.codes, model.network(0))


def _evaluate(stages: Stages, name: str, model: Ensemble) -> pd.DataFrame:
    """Score the model on every split that the run scores, and put its rows into the table of baselines."""
    results, tables = stages.folder.results, []
    # as the networks of the run are judged, beside which these stand
    noise = with_noise_as_learnt(stages.examples, stages.config.ensemble.head)
    calibrations = (
        Calibrations() if model.calibration is None else Calibrations(by_model={(name, 0): model.calibration})
    )
    for split in evaluated_splits(stages.examples, model):
        rows = stages.examples.subset(split)
        said = _ask(stages, model, rows)
        answer = calibrated_for(said, model.calibration, rows)
        write_parquet(
            predictions_frame(answer, rows.targets), results / f"predictions_{split}_{name}.parquet"
        )
        replicates = noise.subset(split)
        activity = evaluate_split(
            split=split,
            members=None,
            students=[said],
            measured=rows.targets,
            replicate_std=replicates.replicate_std,
            n_replicates=replicates.n_replicates,
        )
        tables.append(activity.assign(model=name))
        tables.append(evaluate_uncertainty(split, rows, [(name, 0, said)], calibrations).metrics)
    table = pd.concat(tables, ignore_index=True)
    path = results / TABLE
    before = [read_metrics(path).query("model != @name")] if path.is_file() else []
    write_metrics(pd.concat([*before, table], ignore_index=True), path)
    return table


def compare(run: Path, split: str = "test") -> list[list[str]]:
    """Return header and lines of a table: each model of a run and its baselines, as ``baseline_table`` makes it."""
    own, beside = (run / "results" / name for name in ("metrics.tsv", TABLE))
    metrics = read_metrics(own)
    return baseline_table(metrics, read_metrics(beside) if beside.is_file() else metrics.head(0), split)
