"""The default student: activity and epistemic std, the std positive by construction, columns standardised."""

from __future__ import annotations

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from octodon.models.heads import heads
from octodon.models.heads._base import Labels, Moments
from octodon.models.heads._standardised import StandardisedHead

_UNIT_SOFTPLUS = math.log(math.expm1(1.0))  # softplus(this) = 1: a fresh head predicts the mean std


@heads.register("distilled")
class DistilledHead(StandardisedHead):
    """Squared errors of activity and std, each in units of the variance of its own training labels.

    std = softplus(raw) * mean training std: never negative, and a fresh network starts at the mean.
    """

    n_raw = 2
    needs = ("activity", "epistemic_std")

    def loss(self, raw: Float[Tensor, "n r t"], labels: Labels) -> Float[Tensor, "n t"]:
        """Return the mean of the two standardised squared errors."""
        activity = self.unscale("activity", raw[:, 0])
        error = self.column_loss("activity", activity, labels)
        return (error + self.column_loss("epistemic_std", self._std(raw), labels)) / 2

    def read(self, raw: Float[Tensor, "n r t"]) -> Moments:
        """Return activity and epistemic std in the units of the labels."""
        return Moments(mean=self.unscale("activity", raw[:, 0]), epistemic_std=self._std(raw))

    def _std(self, raw: Float[Tensor, "n r t"]) -> Float[Tensor, "n t"]:
        return F.softplus(raw[:, 1] + _UNIT_SOFTPLUS) * self.get_buffer("epistemic_std_location")
