"""Train an ensemble: M independent networks on the same examples."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from octodon.data.examples import Examples
from octodon.data.on_disk import forget_pages
from octodon.data.splits import refuse_leaks
from octodon.data.values import require_values
from octodon.ensemble.arrays import SharedArrays
from octodon.ensemble.config import ENSEMBLE_PRESETS, EnsembleConfig
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution, executing
from octodon.ensemble.folds import Folds
from octodon.ensemble.member_labels import labelled_splits, resolve_head
from octodon.ensemble.network import FittedNetwork, NetworkJob, fit_network, read_fitted
from octodon.ensemble.progress import TrainingProgress
from octodon.ensemble.stacked.fit import choice_file, fit_stack, is_stacked, stacks
from octodon.errors import DataError
from octodon.models.model import ModelConfig, check_model
from octodon.settings import checked, merge, preset_of
from octodon.training.config import TrainingConfig

logger = logging.getLogger(__name__)


def train_networks(jobs: list[NetworkJob], execution: Execution) -> list[FittedNetwork]:
    """Fit every job's network, showing progress; networks finished before are kept.

    A network whose loss diverged and that was trained again from its next seed is reported in the log.

    Raises
    ------
    RunError
        When a network diverges from every seed, or a worker process dies.
    """
    open_jobs = [job for job in jobs if not job.is_done]
    if open_jobs:
        for job in jobs:  # how an earlier call, which was interrupted, computed them says nothing of this one
            choice_file(job).unlink(missing_ok=True)
    with TrainingProgress(jobs, enabled=execution.progress) as display:
        _fit(open_jobs, execution, display.tick)
    fitted = [read_fitted(job.folder, job.index) for job in jobs]
    for job, network in zip(jobs, fitted, strict=True):
        if network.attempt:
            logger.warning("%s %d: the loss diverged; trained again from its next seed", job.role, job.index)
    return fitted


def _fit(jobs: list[NetworkJob], execution: Execution, on_tick: Callable[[], None]) -> None:
    """Fit jobs one by one, each wherever a worker is free; or together, where that is asked for or pays."""
    if is_stacked(execution.strategy, execution.device):
        gpus = 0 if execution.device == "cpu" else execution.workers.processes
        execution.workers.run(fit_stack, stacks(jobs, execution.strategy, gpus), on_tick=on_tick)
        return
    execution.workers.run(fit_network, jobs, on_tick=on_tick)


def train_ensemble(
    examples: Examples,
    model: ModelConfig,
    config: EnsembleConfig,
    *,
    seed: int,
    folder: Path,
    execution: Execution,
) -> Ensemble:
    """Return the fitted ensemble; members are written to ``folder`` one by one as they finish.

    The head is that of ``config``, whatever ``model`` says.

    Raises
    ------
    DataError
        Fewer than two training rows, none of them with a value of some target, none to validate on, or a head that learns
        the noise without replicates.
    ConfigError
        The head needs labels that members do not have, or the backbone does not work.
    """
    n_rows = len(examples.subset("train"))
    if n_rows < 2:
        raise DataError("train: one training row; batch normalisation needs at least two")
    require_values(examples.subset("train"))
    head = resolve_head(config.head, examples)
    model = replace(model, head=head)
    check_model(model)
    data = labelled_splits(examples, head)
    folds = None
    if config.folds > 1:
        train_rows = examples.subset("train")
        folds = Folds.of(train_rows, config.folds, seed)
        data["train.fold"] = folds.of_rows(train_rows)
    arrays = SharedArrays.write(folder / "arrays", data)
    del data  # a second copy of every sequence, as long as the members train
    forget_pages(examples.codes)
    fingerprint = arrays.fingerprint()
    training = config.training_of(n_rows)
    jobs = [
        NetworkJob(
            role="member",
            index=index,
            model=model,
            training=training,
            seed=seed,
            arrays=arrays,
            folder=folder / f"member_{index:03d}",
            device=execution.device,
            data=fingerprint,
            left_out=None if folds is None else folds.left_out_by(index),
        )
        for index in range(config.members)
    ]
    members = train_networks(jobs, execution)
    return Ensemble(
        model=model,
        target_names=examples.target_names,
        units=examples.units,
        members=tuple(members),
        folds=folds,
    )


def train(
    data: Examples,
    backbone: str | type = "deepstarr",
    members: int = 10,
    seed: int = 0,
    *,
    preset: str = "default",
    options: Mapping[str, Any] | None = None,
    training: TrainingConfig | Mapping[str, Any] | None = None,
    head: str | None = None,
    folds: int = 1,
    on_leak: str = "refuse",
    processes: int | None = None,
    device: str = "auto",
    progress: bool = True,
    executor: str = "local",
) -> Ensemble:
    """Train an ensemble on examples that have a split.

    Parameters
    ----------
    data : Examples
        With rows in the splits "train" and "valid"; see ``Examples.split``.
    backbone : str or type
        A registered name, ``"path/to/file.py:Class"`` or an ``nn.Module`` class.
    members : int
        Networks to train.
    seed : int
        Member k is a pure function of (seed, k, settings, data).
    preset : {"default", "paper", "paper-lentimpra"}
        What is not given below: the package's own choices, or the published ones. The same as ``preset`` in a TOML file.
    options : mapping, optional
        Keyword arguments of the backbone.
    head : str, optional
        What members learn; default "auto": activity, and the noise of one measurement where every target has replicates.
    training : TrainingConfig or mapping, optional
        ``{"epochs": 50}`` changes one setting.
    folds : int
        Above 1: member k leaves out fold k modulo ``folds`` of the training rows (for labels out of fold).
    on_leak : {"refuse", "drop", "allow"}
        What to do when related sequences straddle the splits of ``data``.
    processes : int, optional
        Worker processes on a CPU; default one per core, 0 = in this process.
    device : str
        "auto", "cpu" or "cuda".
    progress : bool
        Show live progress on standard error.
    executor : str
        "local": processes of this machine.

    Returns
    -------
    Ensemble

    Raises
    ------
    DataError, ConfigError, RunError
        One line each: what, where, what to do.
    """
    data = refuse_leaks(data, on_leak)
    if training is not None and not isinstance(training, TrainingConfig):
        training = dict(training)
    given = {"members": members, "head": head, "training": training, "folds": folds}
    given = {name: value for name, value in given.items() if value is not None}
    config = checked(EnsembleConfig, merge(preset_of(preset, ENSEMBLE_PRESETS, "train"), given), "train")
    model = ModelConfig(
        backbone=backbone,
        length=data.length,
        n_targets=len(data.target_names),
        options=dict(options or {}),
    )
    with (
        tempfile.TemporaryDirectory(prefix="octodon-") as folder,
        executing(executor=executor, processes=processes, device=device, progress=progress) as execution,
    ):
        return train_ensemble(
            data,
            model,
            config,
            seed=seed,
            folder=Path(folder),
            execution=execution,
        )
