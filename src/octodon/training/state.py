"""Everything of one network in training at the end of an epoch: enough to go on as if nothing had happened.

Data order and dropout are functions of (seed, epoch), so no state of a random generator is among it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What one epoch did; losses are means over rows and targets, in the head's units.

    ``second_loss`` and ``is_best_second`` are of a second backbone, where the head has one.
    """

    epoch: int
    train_loss: float
    valid_loss: float
    learning_rate: float
    seconds: float
    is_best: bool
    second_loss: float | None = None
    is_best_second: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingState:
    """One network at the end of an epoch; a member of a stack has one like a network trained alone.

    Attributes
    ----------
    weights : mapping
        Parameters and buffers by name, after the last epoch.
    best : mapping
        The same after the best epoch by validation loss (a second backbone's after its own).
    optimiser : mapping
        Tensors of the optimiser (Adam: ``step``, ``exp_avg``, ``exp_avg_sq``) by parameter name; a parameter that has had
        no gradient has none.
    schedule : mapping
        As ``Schedule.state`` returns it.
    history : tuple of EpochRecord
        Every epoch so far, from 0 without a gap.
    """

    weights: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    optimiser: Mapping[str, Mapping[str, Tensor]]
    schedule: Mapping[str, float]
    history: tuple[EpochRecord, ...]

    @property
    def epochs(self) -> int:
        """Epochs that are done; the next one has this number."""
        return len(self.history)
