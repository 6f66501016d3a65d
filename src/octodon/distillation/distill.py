"""Distil an ensemble into students."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray
from torch import nn

from octodon.atomic import atomic_folder
from octodon.data.examples import Examples
from octodon.data.splits import refuse_leaks
from octodon.data.values import require_values
from octodon.distillation.cached import CachedTeachers
from octodon.distillation.config import DISTILL_PRESETS, DistillConfig, StudentTraining
from octodon.distillation.dynamic import batches_of
from octodon.distillation.effects import learn_effects
from octodon.distillation.labels import (
    pick_recipes,
    require_ensemble,
    resolve_student_head,
    train_labels,
    valid_labels,
    write_labelled,
)
from octodon.distillation.out_of_fold import out_of_fold, require_folds
from octodon.distillation.pool import read_pool
from octodon.distillation.student import Student
from octodon.distillation.teachers import ModuleTeachers, Teachers, align
from octodon.ensemble.arrays import SharedArrays
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution, executing
from octodon.ensemble.network import NetworkJob
from octodon.ensemble.train import train_networks
from octodon.ensemble.workers import cpu_count, threads
from octodon.errors import ConfigError
from octodon.models.heads import heads
from octodon.models.model import ModelConfig
from octodon.records import MemberPredictions
from octodon.settings import checked, merge, preset_of


def distil_students(
    teachers: Teachers | MemberPredictions,
    examples: Examples,
    model: ModelConfig,
    config: DistillConfig,
    *,
    seed: int,
    folder: Path,
    execution: Execution,
) -> list[Student]:
    """Return the fitted students; each is written to ``folder`` as it finishes.

    The members' labels are computed once, kept in ``folder`` and reused when the same call is repeated there.

    Raises
    ------
    DataError
        One teacher, or a table of teachers that lacks a row or is asked to label altered copies.
    ConfigError
        An unknown alteration or option, or a head that is unknown or learns what the teachers do not give.
    RunError
        No room for the labelled copies, or a network that diverges from every seed.
    """
    arrays = SharedArrays(folder / "arrays")
    if not arrays.folder.is_dir():
        # whole or absent: killed while labelling, a run asks again; what networks have answered is cached
        with atomic_folder(arrays.folder) as partial:
            _write_labels(teachers, examples, config, partial, seed=seed, execution=execution)
    fingerprint = arrays.fingerprint()
    head = resolve_student_head(config.head, "aleatoric_std" in arrays.group("train.label"))
    batches = batches_of(config, teachers, folder)
    training = config.training_of(len(examples.subset("train")))
    jobs = [
        NetworkJob(
            role="student",
            index=index,
            model=replace(model, head=head),
            training=training,
            seed=seed,
            arrays=arrays,
            folder=folder / f"student_{index:03d}",
            device=execution.device,
            # not from the number of processes, so that where it is computed does not change the last bits
            threads=max(1, cpu_count() // config.students),
            data=fingerprint,
            batches=batches,
        )
        for index in range(config.students)
    ]
    fitted = train_networks(jobs, execution)
    return [
        Student(model=jobs[0].model, target_names=examples.target_names, units=examples.units, fitted=network)
        for network in fitted
    ]


def _write_labels(
    teachers: Teachers | MemberPredictions,
    examples: Examples,
    config: DistillConfig,
    folder: Path,
    *,
    seed: int,
    execution: Execution,
) -> None:
    train, valid = examples.subset("train"), examples.subset("valid")
    said = {
        name: member_predictions(teachers, rows, execution) for name, rows in (("t", train), ("v", valid))
    }
    require_ensemble(said["t"])
    head = resolve_student_head(config.head, said["t"].aleatoric_std is not None)
    measured_std = valid.replicate_std if heads[head].validates_on_measured_noise else None
    labels = valid_labels(said["v"].combine(), valid.targets, measured_std)
    SharedArrays.write(
        folder,
        {"valid.codes": valid.codes} | {f"valid.label.{name}": values for name, values in labels.items()},
    )
    write_labelled(
        folder,
        train.codes,
        _labels_of_training_rows(teachers, train, said["t"], config),
        None if isinstance(teachers, MemberPredictions) else teachers,
        pick_recipes(config.copies_of(len(train)), config.recipes),
        seed=seed,
        execution=execution,
        pool=None if config.pool is None else read_pool(config.pool, examples, config.pool_lengths),
    )


def _labels_of_training_rows(
    teachers: Teachers | MemberPredictions, train: Examples, said: MemberPredictions, config: DistillConfig
) -> dict[str, ndarray] | None:
    """Return what students learn on the training rows themselves; None to leave these out."""
    labels = config.labels_of(len(train))
    if labels == "augmented":
        return None
    if labels == "in_sample":
        return train_labels(said.combine())
    fold_of_row, fold_of_member = left_out_folds(teachers, train)
    return train_labels(out_of_fold(said, fold_of_row, fold_of_member))


def left_out_folds(
    teachers: Teachers | MemberPredictions, train: Examples
) -> tuple[Int[ndarray, " n"], Int[ndarray, " m"]]:
    """Return the fold of every training row, and that which each teacher left out.

    Raises
    ------
    ConfigError
        Teachers that cannot label every training row out of fold.
    DataError
        As ``Folds.of_rows``.
    """
    teachers = teachers.teachers if isinstance(teachers, CachedTeachers) else teachers
    folds, members = (teachers.folds, teachers.members) if isinstance(teachers, Ensemble) else (None, ())
    left_out = [] if folds is None else [folds.left_out_by(member.index) for member in members]
    require_folds(1 if folds is None else folds.count, left_out)
    assert folds is not None
    return folds.of_rows(train), np.array(left_out)


def member_predictions(
    teachers: Teachers | MemberPredictions,
    rows: Examples,
    execution: Execution | None = None,
) -> MemberPredictions:
    """Return what the members say about the rows: computed by networks, or looked up by id in a table."""
    if isinstance(teachers, MemberPredictions):
        return align(teachers, [str(name) for name in rows.ids])
    with threads(1):  # as in the worker processes
        return teachers.predict_members(rows.codes, [str(name) for name in rows.ids], execution)


def distill(
    teachers: Ensemble | Sequence[nn.Module] | MemberPredictions,
    data: Examples,
    *,
    students: int = 1,
    seed: int = 0,
    preset: str = "default",
    copies: int | None = None,
    backbone: str | type | None = None,
    options: Mapping[str, Any] | None = None,
    head: str | None = None,
    labels: str | None = None,
    pool: str | Path | None = None,
    training: StudentTraining | Mapping[str, Any] | None = None,
    on_leak: str = "refuse",
    processes: int | None = None,
    device: str = "auto",
    progress: bool = True,
    executor: str = "local",
) -> Student | list[Student]:
    """Distil teachers into a student (or several, as a list, when ``students`` > 1).

    Parameters
    ----------
    teachers : Ensemble, list of torch modules, or MemberPredictions
        Modules map one-hot ``(n, 4, l)`` (A C G T) to ``(n, t)``. Member predictions are joined to the data by id.
    data : Examples
        With the splits "train" and "valid"; its training sequences (and altered copies) are what the student learns on.
    preset : {"default", "paper", "paper-lentimpra"}
        What is not given below: the package's own choices, or the published ones. The same as ``preset`` in a TOML file.
    copies : int, optional
        Altered copies per training sequence labelled by the teachers; default 24, more of few rows (paper: 0), or 0
        where teachers are a table.
    backbone : str or type, optional
        Default: that of the ensemble; "deepstarr" for other teachers.
    head : str, optional
        What students learn; default "auto": activity and epistemic std, and the aleatoric std where the teachers give it.
    labels : {"auto", "in_sample", "augmented", "out_of_fold"}
        The training sequences themselves: labelled by all members; left out, in favour of altered copies; or labelled by
        members that left them out (``octodon.train(..., folds=5)``). Default "auto": left out from 4 copies on.
    pool : path, optional
        FASTA of further sequences, without measurements, that the teachers label.
    on_leak : {"refuse", "drop", "allow"}
        What to do when related sequences straddle the splits of ``data``; as ``octodon.train`` was told.

    Returns
    -------
    Student or list of Student

    Raises
    ------
    DataError, ConfigError, RunError
        As ``distil_students``.
    """
    data = refuse_leaks(data, on_leak)
    require_values(data.subset("train"))
    base = teachers.model if isinstance(teachers, Ensemble) else None
    model = ModelConfig(
        backbone=backbone or (base.backbone if base else "deepstarr"),
        length=data.length,
        n_targets=len(data.target_names),
        options=dict(options if options is not None else (base.options if base and backbone is None else {})),
    )
    if copies is None and isinstance(teachers, MemberPredictions):
        copies = 0
    if training is not None and not isinstance(training, StudentTraining):
        training = dict(training)
    given = {"students": students, "head": head, "copies": copies, "training": training}
    given |= {"labels": labels, "pool": pool}
    given = {name: value for name, value in given.items() if value is not None}
    config = checked(DistillConfig, merge(preset_of(preset, DISTILL_PRESETS, "distill"), given), "distill")
    with (
        tempfile.TemporaryDirectory(prefix="octodon-") as folder,
        executing(executor=executor, processes=processes, device=device, progress=progress) as execution,
    ):
        source = as_teachers(teachers, data.target_names)
        fitted = distil_students(
            source,
            data,
            model,
            config,
            seed=seed,
            folder=Path(folder),
            execution=execution,
        )
        if config.effects and not isinstance(source, MemberPredictions):
            train, valid = (data.subset(name).codes for name in ("train", "valid"))
            how = {"seed": seed, "execution": execution}
            # every student learns from the same pairs: the teachers label them once
            source = CachedTeachers(teachers=source, folder=Path(folder) / "answers")
            learnt = [learn_effects(student, source, train, valid, **how) for student in fitted]
            fitted = [
                student if one is None else one.student for student, one in zip(fitted, learnt, strict=True)
            ]
    return fitted[0] if students == 1 else fitted


def as_teachers(
    teachers: Ensemble | Sequence[nn.Module] | MemberPredictions, target_names: tuple[str, ...]
) -> Teachers | MemberPredictions:
    """Return teachers in one of the two forms that distillation reads; refuses targets that differ from the data's."""
    if not isinstance(teachers, Ensemble | MemberPredictions):
        teachers = ModuleTeachers(modules=list(teachers), target_names=target_names)  # type: ignore[assignment]
    if teachers.target_names != target_names:  # type: ignore[union-attr]
        raise ConfigError(
            f"distill: teachers predict {teachers.target_names}, the data have {target_names}; "  # type: ignore[union-attr]
            f"name the same targets in the same order"
        )
    return teachers  # type: ignore[return-value]
