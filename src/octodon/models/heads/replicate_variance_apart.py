"""The default teacher where there are replicates: as ``replicate_variance``, and the noise has a narrow backbone of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.models.heads import heads
from octodon.models.heads.replicate_variance import ReplicateVarianceHead


@heads.register("replicate_variance_apart")
class ReplicateVarianceApartHead(ReplicateVarianceHead):
    """As ``replicate_variance``, with what a second backbone sees added to the column of the noise.

    The noise may depend on what the activity does not, and then cannot be read from the features of the activity; shaping
    these for both costs activity. A second, narrower backbone that the noise alone trains costs a share of the time instead.

    Parameters
    ----------
    n_second : int
        Features of the second backbone, which follow those of the first; 0 = there is none.
    """

    second_width = 0.5

    def __init__(self, n_features: int, n_targets: int, n_second: int = 0) -> None:
        super().__init__(n_features, n_targets)
        self.second = nn.Linear(n_second, n_targets, bias=False) if n_second else None
        if self.second is not None:
            nn.init.xavier_uniform_(self.second.weight)

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n r t"]:
        """Return the raw columns; of the first backbone's features, the noise shapes none."""
        n_first = self.linear.in_features
        raw = super().forward(features[:, :n_first])
        if self.second is None:
            return raw
        return torch.stack([raw[:, 0], raw[:, 1] + self.second(features[:, n_first:])], dim=1)
