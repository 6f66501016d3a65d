"""One network after another: the reference, and the only way for recurrent backbones."""

from __future__ import annotations

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.ensemble.stacked.dropout import StreamDropout
from octodon.ensemble.stacked.strategies import strategies
from octodon.ensemble.stacked.strategies._base import Strategy
from octodon.models.model import Model


@strategies.register("loop")
class Loop(Strategy):
    """Plain networks whose weights and buffers lie in the stack; captured in one graph, launching costs nothing."""

    def _build(self, template: Model) -> None:
        self.networks = [deepcopy(template).to(self.state.flat.device) for _ in range(len(self.state))]
        self.leaves, self.gradients = [], []
        for member, network in enumerate(self.networks):
            weights = self.state.views(self.state.flat[member])
            for name, parameter in network.named_parameters():
                # .data: the Parameter object stays, of which recurrent layers keep lists of their own.
                parameter.data = weights[name]
                self.leaves.append(parameter)
            self.gradients += self.state.views(self.state.gradients[member]).values()
            self._share_buffers(network, member)

    def _share_buffers(self, network: Model, member: int) -> None:
        for path, module in network.named_modules():
            for name in module._buffers:
                full = f"{path}.{name}".removeprefix(".")
                if isinstance(module, StreamDropout):
                    module._buffers[name] = self.keys[member]
                elif full in self.state.buffers:
                    module._buffers[name] = self.state.buffers[full][member]

    def modules(self) -> list[nn.Module]:
        """Return one network a member."""
        return list(self.networks)

    def forward(self, x: Float[Tensor, "m b 4 l"]) -> Float[Tensor, "m b r t"]:
        """Return the raw columns, computed one member after another."""
        return torch.stack([network(own) for network, own in zip(self.networks, x, strict=True)])
