"""The label table: train = what the ensemble says; validation and test = what was measured, and the ensemble's std."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
from numpy import ndarray

from octodon.data.examples import Examples
from octodon.distillation.copies import DEFAULT_RECIPES, altered_copy, copy_seed
from octodon.distillation.teachers import Teachers
from octodon.ensemble.execution import Execution
from octodon.ensemble.workers import threads
from octodon.errors import DataError, RunError
from octodon.records import MemberPredictions, Prediction
from octodon.training.augment import Recipe

LABELS = ("activity", "epistemic_std")
"""What students can learn, by name."""


def train_labels(ensemble: Prediction) -> dict[str, ndarray]:
    """Return the student's labels on training sequences: ensemble mean and population std (Table 1.3 of the method)."""
    return {
        "activity": ensemble.mean.astype(np.float32),
        "epistemic_std": _epistemic(ensemble).astype(np.float32),
    }


def valid_labels(ensemble: Prediction, measured: ndarray) -> dict[str, ndarray]:
    """Return the labels on validation sequences: MEASURED activity (NaN = missing) and the ensemble's std."""
    return {"activity": measured.astype(np.float32), "epistemic_std": _epistemic(ensemble).astype(np.float32)}


def write_labelled_copies(
    folder: Path,
    train: Examples,
    labels: dict[str, ndarray],
    teachers: Teachers | None,
    recipes: tuple[Recipe, ...],
    *,
    seed: int,
    execution: Execution | None,
) -> None:
    """Write training codes followed by labelled altered copies as ``train.*.npy``, copy by copy.

    One copy of the codes is in memory at a time, however many are asked for.

    Raises
    ------
    DataError
        Copies are asked for without teachers that can label them.
    RunError
        The disk has no room for them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n, rows = len(train), len(train) * (1 + len(recipes))
    _require_room(folder, rows * (train.length + 4 * sum(values.shape[1] for values in labels.values())))
    files = {"train.codes": train.codes} | {f"train.label.{name}": values for name, values in labels.items()}
    targets = {
        name: np.lib.format.open_memmap(
            folder / f"{name}.npy", mode="w+", dtype=values.dtype, shape=(rows, values.shape[1])
        )
        for name, values in files.items()
    }
    for name, values in files.items():
        _reserve(folder / f"{name}.npy")
        targets[name][:n] = values
    for number, recipe in enumerate(recipes):
        if teachers is None:
            raise DataError(
                "distill.copies: a table of predictions cannot label altered copies; set copies = 0"
            )
        piece = slice(n * (number + 1), n * (number + 2))
        codes = altered_copy(train.codes, recipe, copy_seed(seed, number))
        with threads(1):  # as in the worker processes
            said = teachers.predict_members(codes, execution=execution).combine()
        targets["train.codes"][piece] = codes
        for name, values in train_labels(said).items():
            targets[f"train.label.{name}"][piece] = values
    for target in targets.values():
        target.flush()


def _require_room(folder: Path, n_bytes: int) -> None:
    # a mapped file that outgrows the disk ends the process without a message (SIGBUS)
    free = shutil.disk_usage(folder).free
    if free < 1.1 * n_bytes:
        raise RunError(
            f"{folder}: labelled copies need {n_bytes / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free; make room, or "
            f"ask for fewer distill.copies"
        )


def _reserve(path: Path) -> None:
    """Take the room of a mapped file now, where the system can: an OSError here, not the end of the process later."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def pick_recipes(copies: int, recipes: tuple[Recipe, ...] = DEFAULT_RECIPES) -> tuple[Recipe, ...]:
    """Return one recipe per copy, cycling through the given ones."""
    return tuple(recipes[i % len(recipes)] for i in range(copies))


def require_ensemble(predictions: MemberPredictions) -> None:
    """Refuse one member: its disagreement with itself is nothing to learn."""
    _epistemic(predictions.combine())


def _epistemic(ensemble: Prediction) -> ndarray:
    if ensemble.epistemic_std is None:
        raise DataError(
            "distill: one teacher gives no epistemic std; use at least two members (ensemble.members)"
        )
    return ensemble.epistemic_std
