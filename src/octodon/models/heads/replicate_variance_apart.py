"""The default teacher where there are replicates: as ``replicate_variance``, but the noise has a narrow backbone of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.models.heads import heads
from octodon.models.heads.replicate_variance import ReplicateVarianceHead


@heads.register("replicate_variance_apart")
class ReplicateVarianceApartHead(ReplicateVarianceHead):
    """As ``replicate_variance``, but the noise is read from a second backbone, which it alone trains.

    The noise may depend on what the activity does not, and then cannot be read from the features of the activity; shaping
    these for both costs activity. Two backbones cost neither, only time, and the second may be narrow: there is less to learn
    from stds of a few replicates. Its best epoch is its own, among those that the activity takes; the last of them where no
    validation row has two replicates. The activity is, number for number, that of ``replicate_variance``; the noise's column
    of ``linear`` is there for that, and not read.

    Parameters
    ----------
    n_second : int
        Features of the second backbone, which follow those of the first; 0 = there is none, and the noise is read as by
        ``replicate_variance``.
    """

    second_width = 0.5
    second_judged_by = ("replicates",)

    def __init__(self, n_features: int, n_targets: int, n_second: int = 0) -> None:
        super().__init__(n_features, n_targets)
        self.n_first = n_features
        self.second = nn.Linear(n_second, n_targets) if n_second else None
        if self.second is not None:
            nn.init.xavier_uniform_(self.second.weight)
            nn.init.zeros_(self.second.bias)

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n r t"]:
        """Return the raw columns: activity from the features of the first backbone, noise from those of the second."""
        if self.second is None:
            return super().forward(features)
        # contiguous: a product of strided rows is rounded in another order
        first, second = features[:, : self.n_first].contiguous(), features[:, self.n_first :]
        return torch.stack([super().forward(first)[:, 0], self.second(second)], dim=1)
