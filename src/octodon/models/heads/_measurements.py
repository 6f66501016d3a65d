"""Measurements inside a loss, in units of the activity's spread, and variances that stay positive: what several heads share."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from octodon.models.heads._base import Labels, refuse_other_shape
from octodon.models.heads._standardised import StandardisedHead


class MeasurementsHead(StandardisedHead):
    """A likelihood of each single measurement: those of one row count as draws of their own, missing ones are left out.

    Where a table has one value a row, that is its one measurement.
    """

    needs = ("activity", "measurements")
    auxiliary = ("activity",)
    standardises = ("activity",)

    def __init__(self, n_features: int, n_targets: int) -> None:
        super().__init__(n_features, n_targets)
        self.register_buffer("mean_measurements", torch.ones(n_targets))

    def fit_scale(self, labels: Labels) -> None:
        """Store the scale of the activity and the average number of measurements a row."""
        super().fit_scale(labels)
        count = torch.isfinite(labels["measurements"]).sum(2)
        self.get_buffer("mean_measurements").copy_(count.sum(0) / (count > 0).sum(0).clamp(min=1))

    @abstractmethod
    def term(self, raw: Float[Tensor, "n r t"], error: Float[Tensor, "n t k"]) -> Float[Tensor, "n t k"]:
        """Return the loss of every measurement; ``error``: measured - predicted, in units of the activity's spread."""

    def loss(self, raw: Float[Tensor, "n r t"], labels: Labels) -> Float[Tensor, "n t"]:
        """Return the sum over a row's measurements, divided by their average number."""
        measured = labels["measurements"]
        refuse_other_shape(raw[:, 0], measured, n_dims=3)
        present = torch.isfinite(measured)
        location, scale = (self.get_buffer(f"activity_{name}").unsqueeze(1) for name in ("location", "scale"))
        standardised = torch.where(present, measured - location, 0.0) / scale
        error = torch.where(present, standardised - raw[:, 0].unsqueeze(2), 0.0)
        terms = torch.where(present, self.term(raw, error), 0.0)
        return terms.sum(2) / self.get_buffer("mean_measurements").clamp(min=1)
