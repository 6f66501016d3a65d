"""Fit one network as a pure function of (config, seed, data): the work of one process, member or student alike."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from octodon.atomic import atomic_file, write_json
from octodon.ensemble.arrays import SharedArrays
from octodon.ensemble.workers import threads
from octodon.errors import RunError
from octodon.models.model import Model, ModelConfig, build_model
from octodon.seeds import derive_seed
from octodon.training.config import TrainingConfig
from octodon.training.loop import DivergedError, EpochRecord, LabelledCodes, fit

MOST_ATTEMPTS = 3
"""A network whose loss diverges is trained again from its next seed at most this often in all."""


@dataclass(frozen=True, kw_only=True)
class NetworkJob:
    """One network to fit.

    Attributes
    ----------
    role : str
        "member" or "student"; part of the seed, so that students share no stream with members.
    index : int
        Which one, from 0.
    arrays : SharedArrays
        Holds ``train.codes``, ``valid.codes`` and labels ``train.label.NAME``, ``valid.label.NAME``.
    folder : Path
        Receives ``history.jsonl`` as it goes, then ``weights.safetensors`` and, last, ``done.json``.
    """

    role: str
    index: int
    model: ModelConfig
    training: TrainingConfig
    seed: int
    arrays: SharedArrays
    folder: Path
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedNetwork:
    """A finished network: its weights, and how it came about."""

    index: int
    attempt: int
    seed: int
    weights: dict[str, torch.Tensor]
    history: list[dict[str, Any]]


def network_seed(seed: int, role: str, index: int, attempt: int) -> int:
    """Return the seed of one network; ``attempt`` counts restarts after a diverged loss."""
    return derive_seed(seed, role, index, attempt)


def fit_network(job: NetworkJob) -> None:
    """Fit the network of a job into its folder; does nothing if the folder already holds the finished network."""
    if (job.folder / "done.json").is_file():
        return
    job.folder.mkdir(parents=True, exist_ok=True)
    with threads(job.threads):
        _fit_until_finite(job)


def _fit_until_finite(job: NetworkJob) -> None:
    device = torch.device(job.device)
    train, valid = (_load(job.arrays, name).to(device) for name in ("train", "valid"))
    # What an interrupted process has logged belongs to a training that begins again here.
    (job.folder / "history.jsonl").unlink(missing_ok=True)
    for attempt in range(MOST_ATTEMPTS):
        seed = network_seed(job.seed, job.role, job.index, attempt)
        model = build_model(job.model, derive_seed(seed, "init")).to(device)
        try:
            fit(model, train, valid, job.training, seed, on_epoch=_Log(job.folder, attempt))
        except DivergedError as error:
            _Log(job.folder, attempt).note(str(error))
            continue
        _finish(job, model, attempt, seed)
        return
    raise RunError(
        f"{job.role} {job.index}: the loss diverged from {MOST_ATTEMPTS} seeds; lower learning_rate, or check the "
        f"targets for outliers (octodon check)"
    )


def read_fitted(folder: Path, index: int) -> FittedNetwork:
    """Return a finished network from its folder."""
    done = json.loads((folder / "done.json").read_text())
    return FittedNetwork(
        index=index,
        attempt=done["attempt"],
        seed=done["seed"],
        weights=load_file(folder / "weights.safetensors"),
        history=read_history(folder, done["attempt"]),
    )


def read_history(folder: Path, attempt: int | None = None) -> list[dict[str, Any]]:
    """Return the epochs logged so far (of one attempt, or of all); a line that is still being written is left out."""
    path = folder / "history.jsonl"
    if not path.is_file():
        return []
    records = []
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            records.append(json.loads(line))
    return [r for r in records if "epoch" in r and (attempt is None or r["attempt"] == attempt)]


def _load(arrays: SharedArrays, split: str) -> LabelledCodes:
    labels = arrays.group(f"{split}.label")
    return LabelledCodes(
        codes=torch.from_numpy(arrays[f"{split}.codes"]),
        labels={name: torch.from_numpy(values) for name, values in labels.items()},
    )


def _finish(job: NetworkJob, model: Model, attempt: int, seed: int) -> None:
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_file(job.folder / "weights.safetensors") as partial:
        save_file(weights, partial)
    done = {"attempt": attempt, "seed": seed, "index": job.index, "finished": time.time()}
    write_json(job.folder / "done.json", done)


class _Log:
    """Appends one JSON line per epoch, which the parent reads for its progress display."""

    def __init__(self, folder: Path, attempt: int) -> None:
        self.path = folder / "history.jsonl"
        self.attempt = attempt

    def __call__(self, record: EpochRecord) -> None:
        self._write(asdict(record) | {"attempt": self.attempt})

    def note(self, message: str) -> None:
        self._write({"attempt": self.attempt, "diverged": message})

    def _write(self, record: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
