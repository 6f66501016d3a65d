"""The published lentiMPRA student: linear columns [activity, aleatoric std, epistemic std], plain mean squared error."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from octodon.models.heads import heads
from octodon.models.heads._base import Head, Labels, Moments, squared_error


@heads.register("distilled_linear_aleatoric")
class DistilledLinearAleatoricHead(Head):
    """Three linear columns with equal weights, in the published order (preset ``paper-lentimpra``).

    Nothing keeps a linear column above zero, so the read-out clips the stds at 0; evaluation counts the clipped values
    (metric ``n_clipped``) instead of hiding them.
    """

    n_raw = 3
    needs = ("activity", "aleatoric_std", "epistemic_std")
    gives = ("aleatoric_std", "epistemic_std")
    validates_on_measured_noise = True

    def loss(self, raw: Float[Tensor, "n r t"], labels: Labels) -> Float[Tensor, "n t"]:
        """Return the mean of the three squared errors, in the units of the labels."""
        first, second, third = (
            squared_error(raw[:, column], labels[name]) for column, name in enumerate(self.needs)
        )
        return (first + second + third) / 3

    def read(self, raw: Float[Tensor, "n r t"]) -> Moments:
        """Return activity and both stds, each at least 0."""
        return Moments(
            mean=raw[:, 0], aleatoric_std=raw[:, 1].clamp(min=0), epistemic_std=raw[:, 2].clamp(min=0)
        )
