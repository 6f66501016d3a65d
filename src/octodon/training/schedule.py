"""Learning-rate decay and early stopping with the semantics of Keras, as plain values that can be saved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from octodon.training.config import TrainingConfig

_PLATEAU_MIN_DELTA = 1e-4
"""Keras's ReduceLROnPlateau asks for an ABSOLUTE improvement of this size; PyTorch's default is relative."""
_WARM_UP_FRACTION = 0.05
_CARRIED = (
    "learning_rate",
    "best_loss",
    "best_epoch",
    "epochs_without_best",
    "plateau_loss",
    "plateau_wait",
    "best_second_loss",
)
"""What changes from epoch to epoch; the rest follows from the configuration and the data."""


@dataclass
class Schedule:
    """What the validation loss has been so far, and what follows from it.

    Keras acts when the count of epochs without improvement REACHES the patience (PyTorch: exceeds it). Where an epoch
    is a few steps (``steps_per_epoch``), both patiences are stretched to last ``patience_steps`` and half of them.
    """

    config: TrainingConfig
    steps_per_epoch: int | None = None
    learning_rate: float = field(init=False)
    best_loss: float = math.inf
    best_epoch: int = -1
    epochs_without_best: int = 0
    plateau_loss: float = math.inf
    plateau_wait: int = 0
    best_second_loss: float = math.inf

    def __post_init__(self) -> None:
        self.learning_rate = self.config.learning_rate

    def update(self, epoch: int, valid_loss: float) -> bool:
        """Take the validation loss of an epoch; return whether it is the best so far."""
        is_best = valid_loss < self.best_loss
        if is_best:
            self.best_loss, self.best_epoch, self.epochs_without_best = valid_loss, epoch, 0
        else:
            self.epochs_without_best += 1
        if self.config.schedule == "plateau":
            self._decay(valid_loss)
        return is_best

    def update_second(self, valid_loss: float) -> bool:
        """Take the validation loss of a second backbone; return whether it is its best so far. It decides on nothing else.

        A loss of exactly 0, every epoch, is that of validation rows without a label (none with two replicates): no epoch is
        better than another there, and the last, which has learnt most, is taken for the best.
        """
        is_best = valid_loss < self.best_second_loss or valid_loss == self.best_second_loss == 0
        if is_best:
            self.best_second_loss = valid_loss
        return is_best

    def state(self) -> dict[str, float]:
        """Return what ``restore`` needs to go on from here: plain values."""
        return {name: getattr(self, name) for name in _CARRIED}

    def restore(self, state: Mapping[str, float]) -> None:
        """Take up the values of ``state``; a missing one is a KeyError."""
        for name in _CARRIED:
            setattr(self, name, state[name])

    @property
    def should_stop(self) -> bool:
        """Whether early stopping ends the training here; a cosine schedule always runs to its end."""
        return self.config.schedule == "plateau" and self.epochs_without_best >= self.stop_patience

    @property
    def stop_patience(self) -> int:
        """Epochs without improvement before stopping."""
        return max(self.config.stop_patience, self._epochs(self.config.patience_steps))

    @property
    def decay_patience(self) -> int:
        """Epochs without improvement before the learning rate decays."""
        return max(self.config.decay_patience, self._epochs(self.config.patience_steps // 2))

    def _epochs(self, steps: int) -> int:
        return 0 if self.steps_per_epoch is None else math.ceil(steps / self.steps_per_epoch)

    def step_rate(self, step: int, steps: int) -> float:
        """Return the learning rate of step ``step`` (from 0) of ``steps`` in the whole training."""
        if self.config.schedule == "plateau":
            return self.learning_rate
        warm_up = max(1, round(_WARM_UP_FRACTION * steps))
        if step < warm_up:
            return self.config.learning_rate * (step + 1) / warm_up
        progress = (step - warm_up) / max(1, steps - warm_up)
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))

    def _decay(self, valid_loss: float) -> None:
        if valid_loss < self.plateau_loss - _PLATEAU_MIN_DELTA:
            self.plateau_loss, self.plateau_wait = valid_loss, 0
            return
        self.plateau_wait += 1
        # A rate that starts below the floor stays there: the floor never raises it.
        if self.plateau_wait >= self.decay_patience and self.learning_rate > self.config.min_learning_rate:
            self.learning_rate = max(
                self.learning_rate * self.config.decay_factor, self.config.min_learning_rate
            )
            self.plateau_wait = 0
