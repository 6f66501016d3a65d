"""Squared errors of activity and of stds that are positive by construction: what several heads share."""

from __future__ import annotations

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from octodon.models.heads._base import Labels, Moments
from octodon.models.heads._standardised import StandardisedHead

_UNIT_SOFTPLUS = math.log(math.expm1(1.0))  # softplus(this) = 1: a fresh head predicts the mean std


class StdColumnsHead(StandardisedHead):
    """Column 0 is the activity, column k the std called ``needs[k]``, read out as the moment ``gives[k - 1]``.

    Every column's squared error is in units of the variance of its own training labels. std = softplus(raw) * mean
    training std: never negative, and a fresh network starts at the mean.
    """

    def loss(self, raw: Float[Tensor, "n r t"], labels: Labels) -> Float[Tensor, "n t"]:
        """Return the mean of the standardised squared errors of the columns."""
        activity = self.unscale("activity", raw[:, 0])
        error = self.column_loss("activity", activity, labels)
        for column, name in enumerate(self.needs[1:], start=1):
            error = error + self.column_loss(name, self._std(raw, column), labels)
        return error / self.n_raw

    def read(self, raw: Float[Tensor, "n r t"]) -> Moments:
        """Return activity and stds in the units of the labels."""
        stds = {moment: self._std(raw, column) for column, moment in enumerate(self.gives, start=1)}
        return Moments(mean=self.unscale("activity", raw[:, 0]), **stds)

    def _std(self, raw: Float[Tensor, "n r t"], column: int) -> Float[Tensor, "n t"]:
        return F.softplus(raw[:, column] + _UNIT_SOFTPLUS) * self.get_buffer(f"{self.needs[column]}_location")
