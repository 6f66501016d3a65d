"""The published teacher that knows the noise: linear columns [activity, replicate std], plain mean squared error."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from octodon.models.heads import heads
from octodon.models.heads._base import Head, Labels, Moments, squared_error


@heads.register("paper_aleatoric")
class PaperAleatoricHead(Head):
    """Activity and the sample std over replicates as linear columns with equal weights (preset ``paper-lentimpra``).

    The mean of sample stds lies below the true std (0.886 of it for three replicates of normal noise), and squared error
    learns that mean: the read-out is too small by this factor, as published. It is clipped at 0 and counted
    (metric ``n_clipped``).
    """

    n_raw = 2
    needs = ("activity", "replicate_std")
    gives = ("aleatoric_std",)

    def loss(self, raw: Float[Tensor, "n r t"], labels: Labels) -> Float[Tensor, "n t"]:
        """Return the mean of the two squared errors, in the units of the labels."""
        activity = squared_error(raw[:, 0], labels["activity"])
        return (activity + squared_error(raw[:, 1], labels["replicate_std"])) / 2

    def read(self, raw: Float[Tensor, "n r t"]) -> Moments:
        """Return activity and noise, the latter at least 0."""
        return Moments(mean=raw[:, 0], aleatoric_std=raw[:, 1].clamp(min=0))
