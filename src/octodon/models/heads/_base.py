"""What a head is: raw columns per target, a loss against labels by name, and a read-out into moments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.errors import DataError

Labels = Mapping[str, Tensor]
"""Labels by quantity, NaN = missing: "activity", "epistemic_std", "aleatoric_std", "replicate_std", "shrunken_std", each
(n, t); "replicates", "replicate_se" and "measurements", each (n, t, r)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """What a network says of each sequence and target, in the units of the labels."""

    mean: Float[Tensor, "n t"]
    epistemic_std: Float[Tensor, "n t"] | None = None
    aleatoric_std: Float[Tensor, "n t"] | None = None
    epistemic_factors: Float[Tensor, "n k t"] | None = None
    """Their dot products are the covariances of the epistemic errors of two sequences."""


class Head(nn.Module, ABC):
    """Linear columns on top of a backbone.

    Class attributes
    ----------------
    n_raw : int
        Columns per target.
    needs : tuple of str
        Labels that the loss reads, by name.
    auxiliary : tuple of str
        Those of ``needs`` that have no term of their own in the loss (the known errors of other labels).
    judged_by : tuple of str
        Those of ``needs`` whose validation loss decides on the best epoch and on stopping; empty for all but the auxiliary.
    gives : tuple of str
        Standard deviations that ``read`` returns.
    unidentified : tuple of str
        Those of ``gives`` that the labels do not determine one by one, however many there are.
    validates_on_measured_noise : bool
        Whether a student's validation labels of the noise are the stds of the replicates (as published) or, as for the
        epistemic std, what the ensemble says of those sequences. Stds of a few replicates scatter many times more than
        what is to be learnt; in units of the latter they would decide alone which epoch is the best.
    second_width : float or None
        Width of a second backbone, as a share of the first one's, whose features (n, g) follow those of the first; such a
        head is made as ``Head(n_features, n_targets, n_second)`` and reads it with layers called ``second`` alone. None =
        there is one backbone.
    second_judged_by : tuple of str
        Those of ``needs`` whose validation loss decides on the best epoch of the second backbone.
    """

    n_raw: ClassVar[int]
    needs: ClassVar[tuple[str, ...]]
    auxiliary: ClassVar[tuple[str, ...]] = ()
    judged_by: ClassVar[tuple[str, ...]] = ()
    gives: ClassVar[tuple[str, ...]] = ()
    unidentified: ClassVar[tuple[str, ...]] = ()
    validates_on_measured_noise: ClassVar[bool] = False
    second_width: ClassVar[float | None] = None
    second_judged_by: ClassVar[tuple[str, ...]] = ()

    def __init__(self, n_features: int, n_targets: int, n_second: int = 0) -> None:
        super().__init__()
        del n_second  # only heads with a ``second_width`` are given it, and read it
        self.n_targets = n_targets
        self.linear = nn.Linear(n_features, self.n_raw * n_targets)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @property
    def columns(self) -> tuple[str, ...]:
        """Labels that have a term of their own in the loss."""
        return tuple(name for name in self.needs if name not in self.auxiliary)

    @property
    def judges(self) -> tuple[str, ...]:
        """Labels whose validation loss decides on the best epoch and on stopping."""
        return self.judged_by or self.columns

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n r t"]:
        """Return the raw columns; column block r holds one quantity for all targets (the published order)."""
        return self.linear(features).unflatten(1, (self.n_raw, self.n_targets))

    def fit_scale(self, labels: Labels) -> None:
        """Take what the head needs to know of the label scale from the training labels; by default nothing."""

    @abstractmethod
    def loss(self, raw: Float[Tensor, "n r t"], labels: Labels) -> Float[Tensor, "n t"]:
        """Return the loss of every sequence and target; 0 where the label is missing."""

    @abstractmethod
    def read(self, raw: Float[Tensor, "n r t"]) -> Moments:
        """Return the moments, in the units of the labels."""


def refuse_other_shape(prediction: Float[Tensor, "n t"], label: Tensor, n_dims: int = 2) -> None:
    """Refuse a label that would broadcast: (n,) beside (n, 1) fits every row to the mean of all.

    Raises
    ------
    DataError
        Unless the label is (n, t), or (n, t, r) where ``n_dims`` is 3.
    """
    if label.dim() != n_dims or label.shape[:2] != prediction.shape:
        raise DataError(
            f"loss: prediction {tuple(prediction.shape)} and label {tuple(label.shape)} must have equal shapes"
            f"{' but for the replicates, the last axis of the label' if n_dims == 3 else ''}"
        )


def squared_error(prediction: Float[Tensor, "n t"], label: Tensor) -> Float[Tensor, "n t"]:
    """Return the squared error, 0 where the label is missing; refuses shapes that would broadcast."""
    refuse_other_shape(prediction, label)
    present = torch.isfinite(label)
    return torch.where(present, prediction - torch.where(present, label, 0.0), 0.0).square()


def column_scale(label: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and population standard deviation per target over the labels present; std at least 1e-6."""
    present = torch.isfinite(label)
    count = present.sum(0).clamp(min=1)
    filled = torch.where(present, label, 0.0).double()
    mean = filled.sum(0) / count
    variance = torch.where(present, (filled - mean).square(), 0.0).sum(0) / count
    return mean.float(), variance.sqrt().clamp(min=1e-6).float()
