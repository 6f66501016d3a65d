"""The label table: train = what the ensemble says; validation and test = what was measured, and the ensemble's std."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from rich.console import Console
from rich.progress import track

from octodon.distillation.copies import DEFAULT_RECIPES, altered_copy, copy_seed
from octodon.distillation.teachers import Teachers
from octodon.ensemble.execution import Execution
from octodon.ensemble.workers import threads
from octodon.errors import ConfigError, DataError, RunError
from octodon.models.heads import heads
from octodon.records import MemberPredictions, Prediction
from octodon.training.augment import Recipe


def train_labels(ensemble: Prediction) -> dict[str, ndarray]:
    """Return the student's labels on training sequences (Table 1.3 of the method).

    Ensemble mean and population std; ``aleatoric_std``, the root of the members' mean noise variance, where they give it.
    """
    labels = {"activity": ensemble.mean, "epistemic_std": _epistemic(ensemble)}
    if ensemble.aleatoric_std is not None:
        labels["aleatoric_std"] = ensemble.aleatoric_std
    return {name: values.astype(np.float32) for name, values in labels.items()}


def valid_labels(
    ensemble: Prediction, measured: ndarray, replicate_std: ndarray | None = None
) -> dict[str, ndarray]:
    """Return the labels on validation sequences: MEASURED activity (NaN = missing) and the ensemble's epistemic std.

    ``aleatoric_std``, where the members give one, is the measured sample std over the replicates if that is given, else
    the ensemble's; see ``Head.validates_on_measured_noise``.
    """
    labels = {"activity": measured, "epistemic_std": _epistemic(ensemble)}
    if ensemble.aleatoric_std is not None:
        labels["aleatoric_std"] = ensemble.aleatoric_std if replicate_std is None else replicate_std
    return {name: values.astype(np.float32) for name, values in labels.items()}


def resolve_student_head(head: str, aleatoric: bool) -> str:
    """Return ``head``, or for "auto" the best that learns what the teachers give.

    Parameters
    ----------
    head : str
    aleatoric : bool
        Whether the teachers give the noise of a measurement.

    Raises
    ------
    ConfigError
        An unknown head, or one that learns what the teachers do not give.
    """
    if head == "auto":
        return "distilled_aleatoric" if aleatoric else "distilled"
    known = {"activity", "epistemic_std"} | ({"aleatoric_std"} if aleatoric else set())
    needs = heads[head].needs
    if not set(needs) <= known:
        raise ConfigError(
            f"distill.head: {head!r} learns {', '.join(needs)}; the teachers give {', '.join(sorted(known))}: choose auto, "
            f"or members that learn it (ensemble.head)"
        )
    return head


def write_labelled(
    folder: Path,
    train: UInt8[ndarray, "n l"],
    labels: dict[str, ndarray] | None,
    teachers: Teachers | None,
    recipes: tuple[Recipe, ...],
    *,
    seed: int,
    execution: Execution | None,
    pool: UInt8[ndarray, "p l"] | None = None,
) -> None:
    """Write what students learn as ``train.*.npy``: training codes, then the pool, then altered copies, one by one.

    One copy of the codes is in memory at a time, however many are asked for.

    Parameters
    ----------
    folder : Path
    train : (n, l) uint8
    labels : dict or None
        Of the training codes; None leaves them out.
    teachers : Teachers or None
        Who labels pool and copies.
    recipes : tuple of Recipe
        One for each copy.
    seed : int
        Of the copies.
    execution : Execution or None
        Where teachers compute.
    pool : (p, l) uint8, optional

    Raises
    ------
    DataError
        Copies or a pool are asked for without teachers that can label them.
    RunError
        The disk has no room for them.
    """
    further = ([] if pool is None else [pool]) + [
        partial(altered_copy, train, recipe, copy_seed(seed, number)) for number, recipe in enumerate(recipes)
    ]
    if teachers is None and further:
        raise DataError(
            "distill.copies: a table of predictions cannot label altered copies; set copies = 0, and no pool"
        )
    folder.mkdir(parents=True, exist_ok=True)
    rows = len(train) * ((labels is not None) + len(recipes)) + (0 if pool is None else len(pool))
    files: dict[str, np.memmap] = {}
    start = 0
    blocks = _blocks(train, labels, further, teachers, execution)
    console = Console(file=sys.stderr)
    shown = execution is not None and execution.progress and console.is_terminal
    for codes, said in track(
        blocks, "labelling", (labels is not None) + len(further), console=console, disable=not shown
    ):
        block = {"train.codes": codes} | {f"train.label.{name}": values for name, values in said.items()}
        files = files or _open(folder, block, rows)
        for name, values in block.items():
            files[name][start : start + len(codes)] = values
        start += len(codes)
    for file in files.values():
        file.flush()


def _blocks(
    train: ndarray,
    labels: dict[str, ndarray] | None,
    further: Sequence[ndarray | Callable[[], ndarray]],
    teachers: Teachers | None,
    execution: Execution | None,
) -> Iterator[tuple[ndarray, dict[str, ndarray]]]:
    """Yield codes with their labels: the training rows with those given, the others as the teachers label them."""
    if labels is not None:
        yield train, labels
    for source in further:
        assert teachers is not None
        codes = source() if callable(source) else source
        with threads(1):  # as in the worker processes
            yield codes, train_labels(teachers.predict_members(codes, execution=execution).combine())


def _open(folder: Path, block: dict[str, ndarray], rows: int) -> dict[str, np.memmap]:
    """Return files for so many rows of arrays like those of the first block."""
    _require_room(folder, rows * sum(values[:1].nbytes for values in block.values()))
    files = {}
    for name, values in block.items():
        path = folder / f"{name}.npy"
        shape = (rows, *values.shape[1:])
        files[name] = np.lib.format.open_memmap(path, mode="w+", dtype=values.dtype, shape=shape)
        _reserve(path)
    return files


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
