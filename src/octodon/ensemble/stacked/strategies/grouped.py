"""Grouped convolutions: every member is a group of channels."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from octodon.ensemble.stacked.strategies import strategies
from octodon.ensemble.stacked.strategies._folded import Folded, FoldedConvolution


class GroupedConvolution(FoldedConvolution):
    """One convolution of m * c channels in m groups; rows are moved to channels and back."""

    def forward(self, x: Float[Tensor, "n c l"]) -> Float[Tensor, "n o k"]:
        """Return the convolved features of all members."""
        weight, bias = self.weight_of_members, self.bias_of_members
        members = len(weight)
        grouped = F.pad(x, self.padding).unflatten(0, (members, -1)).transpose(0, 1).flatten(1, 2)
        y = F.conv2d(
            grouped.unsqueeze(2),
            weight.flatten(0, 1).unsqueeze(2),
            None if bias is None else bias.flatten(),
            dilation=(1, self.dilation),
            groups=members,
        ).squeeze(2)
        return y.unflatten(1, (members, -1)).transpose(0, 1).flatten(0, 1)


@strategies.register("grouped")
class Grouped(Folded):
    """One kernel a convolution, whatever the number of members."""

    for_several = True
    convolution = GroupedConvolution
