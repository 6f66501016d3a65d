"""Activity alone: the published teacher head, linear with mean squared error."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from octodon.models.heads import heads
from octodon.models.heads._base import Head, Labels, Moments, squared_error


@heads.register("mean")
class MeanHead(Head):
    """One linear column per target; plain squared error in the units of the labels."""

    n_raw = 1
    needs = ("activity",)

    def loss(self, raw: Float[Tensor, "n r t"], labels: Labels) -> Float[Tensor, "n t"]:
        """Return the squared error of the activity."""
        return squared_error(raw[:, 0], labels["activity"])

    def read(self, raw: Float[Tensor, "n r t"]) -> Moments:
        """Return the activity."""
        return Moments(mean=raw[:, 0])
