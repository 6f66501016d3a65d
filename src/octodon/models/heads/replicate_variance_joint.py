"""As ``replicate_variance``, but the noise shapes the features, too."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from octodon.models.heads import heads
from octodon.models.heads._base import Head
from octodon.models.heads.replicate_variance import ReplicateVarianceHead


@heads.register("replicate_variance_joint")
class ReplicateVarianceJointHead(ReplicateVarianceHead):
    """As ``replicate_variance``, but the noise shapes the features and decides on the best epoch, too.

    Where the noise depends on what the activity does not, and there are rows enough to learn it from, it follows the noise
    far better; on few rows it costs activity.
    """

    judged_by = ()

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n r t"]:
        """Return the raw columns."""
        return Head.forward(self, features)
