"""Fit one network as a pure function of (config, seed, data): the work of one process, member or student alike."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from octodon.atomic import append_json, atomic_file, write_json, write_text
from octodon.ensemble.arrays import SharedArrays
from octodon.ensemble.jobs import Needs
from octodon.ensemble.workers import threads
from octodon.errors import RunError
from octodon.models.model import Model, ModelConfig, build_model
from octodon.seeds import derive_seed
from octodon.training.augment import ALTERED, Batches
from octodon.training.checkpoint import Checkpoint, read_header
from octodon.training.config import TrainingConfig
from octodon.training.loop import DivergedError, LabelledCodes, fit
from octodon.training.state import EpochRecord, TrainingState

CHECKPOINT = "checkpoint.safetensors"
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
        Receives ``history.jsonl`` and ``checkpoint.safetensors`` as it goes, then ``weights.safetensors`` and, last,
        ``done.json``.
    data : str
        Fingerprint of the arrays: a checkpoint made on others is refused.
    batches : Batches
        How altered batches are labelled.
    left_out : int, optional
        Do not train on the rows whose ``train.fold`` is this.
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
    data: str = ""
    batches: Batches = ALTERED
    left_out: int | None = None

    @property
    def is_done(self) -> bool:
        """Whether the folder holds the finished network."""
        return (self.folder / "done.json").is_file()

    @property
    def needs(self) -> Needs:
        """A core per thread, or one GPU."""
        return Needs(cpus=self.threads, gpus=0 if self.device == "cpu" else 1)

    @property
    def reads(self) -> tuple[Path, ...]:
        """The arrays, and what the batches read."""
        return (self.arrays.folder, *self.batches.files)

    @property
    def writes(self) -> tuple[Path, ...]:
        """The folder of the network."""
        return (self.folder,)

    def moved(self, to: Callable[[Path], Path]) -> NetworkJob:
        """Return the same job on files that lie elsewhere."""
        return replace(
            self,
            arrays=SharedArrays(to(self.arrays.folder)),
            folder=to(self.folder),
            batches=self.batches.moved(to),
        )

    @property
    def identity(self) -> str:
        """Names everything that determines the network, as its checkpoints carry it."""
        backbone = self.model.backbone
        model = asdict(self.model) | {"backbone": backbone if isinstance(backbone, str) else repr(backbone)}
        training = self.training.model_dump(exclude={"checkpoint_seconds"})
        parts = [
            self.role,
            self.index,
            self.seed,
            model,
            training,
            self.data,
            self.batches.identity,
            self.left_out,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()

    def checkpoint(self, attempt: int) -> Checkpoint:
        """Return where the state of one attempt is kept."""
        return Checkpoint(
            path=self.folder / CHECKPOINT,
            identity=self.identity,
            attempt=attempt,
            seconds=self.training.checkpoint_seconds,
        )


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
    """Fit the network of a job into its folder, going on from its checkpoint if there is one.

    Does nothing if the folder already holds the finished network.

    Raises
    ------
    RunError
        Its loss diverges from every seed, or the GPU has no room for it.
    """
    if job.is_done:
        return
    job.folder.mkdir(parents=True, exist_ok=True)
    try:
        with threads(job.threads):
            _fit_until_finite(job)
    except torch.OutOfMemoryError:
        raise no_room(job) from None


def _fit_until_finite(job: NetworkJob) -> None:
    device = torch.device(job.device)
    train, valid = (load_split(job, name).to(device) for name in ("train", "valid"))
    first = last_attempt(job)
    rewind_history(job.folder, first, job.checkpoint(first).load())
    for attempt in range(first, MOST_ATTEMPTS):
        seed = network_seed(job.seed, job.role, job.index, attempt)
        model = build_model(job.model, derive_seed(seed, "init")).to(device)
        log = EpochLog(job.folder, attempt)
        try:
            fit(
                model,
                train,
                valid,
                job.training,
                seed,
                on_epoch=log,
                checkpoint=job.checkpoint(attempt),
                batches=job.batches,
            )
        except DivergedError as error:
            log.note(str(error))
            continue
        finish(job, model, attempt, seed)
        return
    raise diverged(job)


def diverged(job: NetworkJob) -> RunError:
    """Return the error of a network whose loss diverged from every seed."""
    return RunError(
        f"{job.role} {job.index}: the loss diverged from {MOST_ATTEMPTS} seeds; lower learning_rate, or check the "
        f"targets for outliers (octodon check)"
    )


def no_room(job: NetworkJob) -> RunError:
    """Return the error of a network that is too large for the GPU, even alone."""
    return RunError(
        f"{job.role} {job.index}: no room on the GPU for one network; what is finished is kept: free the GPU or set "
        f"run.device = 'cpu' and run the same command again, or begin anew with a lower batch_size"
    )


def last_attempt(job: NetworkJob) -> int:
    """Return the attempt whose state the folder holds, 0 where it holds none."""
    path = job.folder / CHECKPOINT
    return read_header(path)["attempt"] if path.is_file() else 0


def rewind_history(folder: Path, attempt: int, state: TrainingState | None) -> None:
    """Cut the log back to what ``state`` knows: the epochs after it will be done again."""
    earlier = [record for record in _read_log(folder) if record["attempt"] < attempt]
    kept = [asdict(record) | {"attempt": attempt} for record in (state.history if state else ())]
    write_text(folder / "history.jsonl", "".join(json.dumps(record) + "\n" for record in earlier + kept))


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
    records = _read_log(folder)
    return [r for r in records if "epoch" in r and (attempt is None or r["attempt"] == attempt)]


def _read_log(folder: Path) -> list[dict[str, Any]]:
    path = folder / "history.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def load_split(job: NetworkJob, split: str) -> LabelledCodes:
    """Return the rows of one split that the job's network sees, with their labels."""
    codes, labels = job.arrays[f"{split}.codes"], job.arrays.group(f"{split}.label")
    if split == "train" and job.left_out is not None:
        seen = job.arrays["train.fold"] != job.left_out
        codes, labels = codes[seen], {name: values[seen] for name, values in labels.items()}
    return LabelledCodes(
        codes=torch.from_numpy(codes),
        labels={name: torch.from_numpy(values) for name, values in labels.items()},
    )


def finish(job: NetworkJob, model: Model, attempt: int, seed: int) -> None:
    """Write the weights of a fitted network, then mark it as done; its checkpoint goes."""
    # copies: safetensors refuses tensors that share memory, as tied layers of an own backbone do
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    with atomic_file(job.folder / "weights.safetensors") as partial:
        partial.write_bytes(save(weights))  # a full disk is then an OSError, not one of safetensors
    done = {"attempt": attempt, "seed": seed, "index": job.index, "finished": time.time()}
    write_json(job.folder / "done.json", done)
    job.checkpoint(attempt).remove()


class EpochLog:
    """Appends one JSON line per epoch, which the parent reads for its progress display."""

    def __init__(self, folder: Path, attempt: int) -> None:
        self.path = folder / "history.jsonl"
        self.attempt = attempt

    def __call__(self, record: EpochRecord) -> None:
        """Log a finished epoch."""
        self._write(asdict(record) | {"attempt": self.attempt})

    def note(self, message: str) -> None:
        """Log why this attempt ended."""
        self._write({"attempt": self.attempt, "diverged": message})

    def _write(self, record: dict[str, Any]) -> None:
        append_json(self.path, record)
