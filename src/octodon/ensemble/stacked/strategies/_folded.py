"""Members side by side on the batch axis: (m * b, c, l).

All that acts on rows runs as it is written; only layers with weights must know of members, and are exchanged for those here.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.ensemble.stacked.dropout import StreamDropout
from octodon.ensemble.stacked.normalise import FoldedBatchNorm
from octodon.ensemble.stacked.replace_modules import replaced
from octodon.ensemble.stacked.strategies._base import Strategy
from octodon.ensemble.stacked.unsuitable import Unsuitable
from octodon.models.heads import Head
from octodon.models.model import Model


class FoldedConvolution(nn.Module):
    """A convolution over positions with weights (m, o, c, k); how it is computed is the strategy's."""

    def __init__(self, layer: nn.Conv1d, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight_of_members, self.bias_of_members = weight, bias
        self.dilation = layer.dilation[0]
        reach = self.dilation * (layer.kernel_size[0] - 1)
        if isinstance(layer.padding, str):
            left = reach // 2 if layer.padding == "same" else 0
            self.padding = (left, reach - left) if layer.padding == "same" else (0, 0)
        else:
            self.padding = (layer.padding[0], layer.padding[0])


class FoldedLinear(nn.Module):
    """A linear layer with weights (m, o, i): one batched matrix product."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight_of_members, self.bias_of_members = weight, bias

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight_of_members
        y = multiply(
            x.reshape(len(weight), -1, weight.shape[2]), weight.transpose(1, 2), self.bias_of_members
        )
        return y.reshape(*x.shape[:-1], weight.shape[1])


def multiply(
    x: Float[Tensor, "m r i"], weight: Float[Tensor, "m i o"], bias: Float[Tensor, "m o"] | None
) -> Float[Tensor, "m r o"]:
    """Return x @ weight + bias for every member."""
    return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, weight)


class Folded(Strategy):
    """A strategy that exchanges the layers with weights."""

    convolution: ClassVar[type[FoldedConvolution]]

    def _build(self, template: Model) -> None:
        self.named = self._stacked_leaves()
        self.network = replaced(template, self._convert).to(self.state.flat.device)
        for module in self.network.modules():
            if isinstance(module, StreamDropout):
                module._buffers["keys"] = self.keys

    def _convert(self, path: str, module: nn.Module) -> nn.Module | None:
        weight, bias = self.named.get(f"{path}.weight"), self.named.get(f"{path}.bias")
        if isinstance(module, nn.Conv1d):
            if module.stride != (1,) or module.groups != 1 or module.padding_mode != "zeros":
                raise Unsuitable(f"{path} is a convolution with a stride, groups or padding other than zeros")
            assert weight is not None
            return self.convolution(module, weight, bias)
        if isinstance(module, nn.Linear):
            assert weight is not None
            return FoldedLinear(weight, bias)
        if isinstance(module, nn.BatchNorm1d):
            if weight is None or bias is None or module.momentum is None or not module.track_running_stats:
                raise Unsuitable(f"{path} is a BatchNorm without weights, momentum or running statistics")
            own = {name: self.state.buffers[f"{path}.{name}"] for name, _ in module.named_buffers()}
            return FoldedBatchNorm(weight, bias, own, eps=module.eps, momentum=module.momentum)
        has_tensors = next(module.parameters(recurse=False), None) is not None or bool(module._buffers)
        # A head keeps label scales, which its loss reads and its forward pass does not.
        if has_tensors and not isinstance(module, Head | StreamDropout):
            raise Unsuitable(f"{path} is a {type(module).__name__}, for which there is no stacked layer")
        return None

    def modules(self) -> list[nn.Module]:
        """Return the one network that holds all members."""
        return [self.network]

    def forward(self, x: Float[Tensor, "m b 4 l"]) -> Float[Tensor, "m b r t"]:
        """Return the raw columns."""
        return self.one(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def one(self, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, "n r t"]:
        """Return the raw columns of all members' rows, one member after another."""
        return self.network(x)
