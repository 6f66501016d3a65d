"""One member of a stack: its attempt, schedule, history and files; the same files as those of a network trained alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from octodon.ensemble.network import (
    MOST_ATTEMPTS,
    EpochLog,
    NetworkJob,
    diverged,
    finish,
    last_attempt,
    network_seed,
    rewind_history,
)
from octodon.ensemble.stacked.state import StackState
from octodon.ensemble.stacked.step import MemberEpoch
from octodon.models.model import Model, build_model
from octodon.seeds import derive_seed
from octodon.training.best import keep_best
from octodon.training.checkpoint import Checkpoint
from octodon.training.loop import all_finite, set_layers
from octodon.training.schedule import Schedule
from octodon.training.state import EpochRecord, TrainingState


class EpochLosses(NamedTuple):
    """Losses of one member in one epoch: training, validation, and validation of a second backbone."""

    train: float
    valid: float
    second: float | None


@dataclass(kw_only=True, eq=False)
class StackMember:
    """What a row of the stack is, besides its tensors.

    Attributes
    ----------
    job : NetworkJob
    steps_per_epoch : int
    attempt : int
        Restarts after a diverged loss.
    best : mapping
        Weights and buffers after the best epoch, copies on the CPU.
    is_done : bool
        Whether it is finished and written; a member that is done may ride along until it pays to leave it behind.
    """

    job: NetworkJob
    steps_per_epoch: int
    attempt: int = 0
    schedule: Schedule = field(init=False)
    checkpoint: Checkpoint = field(init=False)
    history: list[EpochRecord] = field(default_factory=list)
    best: Mapping[str, Tensor] = field(default_factory=dict)
    is_done: bool = False

    def __post_init__(self) -> None:
        self.job.folder.mkdir(parents=True, exist_ok=True)
        self._begin(last_attempt(self.job))

    @property
    def seed(self) -> int:
        """The seed of this attempt."""
        return network_seed(self.job.seed, self.job.role, self.job.index, self.attempt)

    def build(self, labels: Mapping[str, Tensor]) -> Model:
        """Return the network as it is before its first step, exactly as one that is trained alone."""
        model = build_model(self.job.model, derive_seed(self.seed, "init"))
        model.head.fit_scale({name: label.cpu() for name, label in labels.items()})
        set_layers(model, self.job.training)
        return model

    def resume(self, state: StackState, row: int) -> None:
        """Take up the checkpoint of an interrupted training, where there is one."""
        saved = self.checkpoint.load()
        rewind_history(self.job.folder, self.attempt, saved)
        if saved is None:
            return
        state.load(row, saved.weights)
        state.load_moments(row, saved.optimiser)
        self.schedule.restore(saved.schedule)
        self.best, self.history = saved.best, list(saved.history)

    def epoch(self, ahead: int = 0) -> MemberEpoch:
        """Return what determines the next epoch, or one ``ahead`` of it."""
        return MemberEpoch(seed=self.seed, epoch=len(self.history) + ahead, schedule=self.schedule)

    @property
    def is_over(self) -> bool:
        """Whether there is no epoch left to train."""
        return len(self.history) >= self.job.training.epochs or self.schedule.should_stop

    def record(self, losses: EpochLosses, rate: float, seconds: float) -> EpochRecord:
        """Return the record of the epoch that has just been trained, at this learning rate; the schedule takes its losses."""
        epoch, second = len(self.history), losses.second
        is_finite = all_finite(losses.valid, second)
        return EpochRecord(
            epoch=epoch,
            train_loss=losses.train,
            valid_loss=losses.valid,
            learning_rate=rate,
            seconds=seconds,
            is_best=is_finite and self.schedule.update(epoch, losses.valid),
            second_loss=second,
            is_best_second=is_finite and second is not None and self.schedule.update_second(second),
        )

    def finish_epoch(
        self,
        record: EpochRecord,
        state: StackState,
        row: int,
        names: list[str],
        labels: Mapping[str, Tensor],
    ) -> bool:
        """Take the losses of an epoch; return whether the training of this member goes on.

        A loss that is not finite starts the next attempt in the same row.

        Raises
        ------
        RunError
            When it has diverged from every seed.
        """
        log = EpochLog(self.job.folder, self.attempt)
        if not all_finite(record.train_loss, record.valid_loss, record.second_loss):
            log.note(
                f"training: loss is {record.train_loss} (validation {record.valid_loss}) in epoch {record.epoch + 1}"
            )
            self._restart(state, row, labels)
            return True
        self.history.append(record)
        if record.is_best or record.is_best_second:
            now = state.weights(row, names)
            of_second = None if record.second_loss is None else record.is_best_second
            self.best = keep_best(self.best, now, record.is_best, of_second)
        log(record)
        return not self.is_over

    def snapshot(self, state: StackState, row: int, names: list[str]) -> TrainingState:
        """Return copies of everything that a checkpoint needs."""
        return TrainingState(
            weights=state.weights(row, names),
            best=self.best,
            optimiser=state.moments(row),
            schedule=self.schedule.state(),
            history=tuple(self.history),
        )

    def write(self, model: Model) -> None:
        """Write the best weights and mark the network as done; ``model`` lends its shape."""
        model.load_state_dict(dict(self.best))
        finish(self.job, model, self.attempt, self.seed)
        self.is_done = True

    def _restart(self, state: StackState, row: int, labels: Mapping[str, Tensor]) -> None:
        if self.attempt + 1 == MOST_ATTEMPTS:
            raise diverged(self.job)
        self._begin(self.attempt + 1)
        state.load(row, self.build(labels).state_dict())

    def _begin(self, attempt: int) -> None:
        self.attempt = attempt
        self.schedule = Schedule(self.job.training, steps_per_epoch=self.steps_per_epoch)
        self.checkpoint = self.job.checkpoint(attempt)
        self.history, self.best = [], {}
