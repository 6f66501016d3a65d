"""The published student: linear columns [means..., stds...], plain mean squared error, nothing rescaled."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from octodon.models.heads import heads
from octodon.models.heads._base import Head, Labels, Moments, squared_error


@heads.register("distilled_linear")
class DistilledLinearHead(Head):
    """Activity and epistemic std as linear columns with equal weights (preset ``paper``).

    Nothing keeps a linear column above zero, so the read-out clips the std at 0; evaluation counts the clipped
    values (metric ``n_clipped``) instead of hiding them.
    """

    n_raw = 2
    needs = ("activity", "epistemic_std")
    gives = ("epistemic_std",)

    def loss(self, raw: Float[Tensor, "n r t"], labels: Labels) -> Float[Tensor, "n t"]:
        """Return the mean of the two squared errors, in the units of the labels."""
        activity = squared_error(raw[:, 0], labels["activity"])
        epistemic = squared_error(raw[:, 1], labels["epistemic_std"])
        return (activity + epistemic) / 2

    def read(self, raw: Float[Tensor, "n r t"]) -> Moments:
        """Return activity and epistemic std, the latter at least 0."""
        return Moments(mean=raw[:, 0], epistemic_std=raw[:, 1].clamp(min=0))
