"""Activity alone, every target in units of its own spread."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from octodon.models.heads import heads
from octodon.models.heads._base import Labels, Moments
from octodon.models.heads._standardised import StandardisedHead


@heads.register("standardised_mean")
class StandardisedMeanHead(StandardisedHead):
    """One column per target, learnt after standardising the target: a wide target does not drown a narrow one."""

    n_raw = 1
    needs = ("activity",)

    def loss(self, raw: Float[Tensor, "n r t"], labels: Labels) -> Float[Tensor, "n t"]:
        """Return the squared error in units of the target's training variance."""
        return self.column_loss("activity", self.read(raw).mean, labels)

    def read(self, raw: Float[Tensor, "n r t"]) -> Moments:
        """Return the activity in its own units."""
        return Moments(mean=self.unscale("activity", raw[:, 0]))
