"""Convolutions as batched matrix products, position-major throughout."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from octodon.ensemble.stacked.strategies import strategies
from octodon.ensemble.stacked.strategies._folded import Folded, FoldedConvolution, multiply


class ProductConvolution(FoldedConvolution):
    """Unfold, then multiply; or multiply, then add shifted, where there are fewer outputs than inputs.

    Unfolded, k * c numbers a position are written and read; the other way k * o. DeepSTARR's second convolution (256 to 60
    channels, size 3) so moves a quarter, forward and backward.
    """

    def forward(self, x: Float[Tensor, "n c l"]) -> Float[Tensor, "n o k"]:
        """Return the convolved features of all members."""
        weight, bias = self.weight_of_members, self.bias_of_members
        members, outputs, inputs, size = weight.shape
        padded = F.pad(x.transpose(1, 2), (0, 0, *self.padding))
        length = padded.shape[1] - self.dilation * (size - 1)
        starts = range(0, size * self.dilation, self.dilation)
        if inputs <= outputs:
            windows = torch.cat([padded[:, start : start + length] for start in starts], dim=2)
            kernel = weight.permute(0, 3, 2, 1).reshape(members, size * inputs, outputs)
            y = multiply(windows.reshape(members, -1, size * inputs), kernel, bias)
            return y.reshape(len(x), length, outputs).transpose(1, 2)
        kernel = weight.permute(0, 2, 3, 1).reshape(members, inputs, size * outputs)
        parts = torch.bmm(padded.reshape(members, -1, inputs), kernel)
        parts = parts.reshape(len(x), -1, size, outputs)
        y = sum(parts[:, start : start + length, tap] for tap, start in enumerate(starts))
        assert isinstance(y, Tensor)
        if bias is not None:
            y = (y.unflatten(0, (members, -1)) + bias[:, None, None]).flatten(0, 1).to(y.dtype)
        return y.transpose(1, 2)


@strategies.register("matmul")
class Matmul(Folded):
    """Batched matrix products reach the speed of the tensor cores where convolutions of small groups do not."""

    for_several = True
    convolution = ProductConvolution
