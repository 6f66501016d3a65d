"""Plain networks, one after another, with everything between their convolutions fused by ``torch.compile``."""

from __future__ import annotations

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from octodon.ensemble.stacked.dropout import StreamDropout
from octodon.ensemble.stacked.strategies import strategies
from octodon.ensemble.stacked.strategies._base import Strategy
from octodon.ensemble.stacked.strategies._compiled import Compiled
from octodon.models.model import Model


class _OneForAll(Strategy):
    """The loop as one function of each member's tensors, so that the compiler sees one network and not m."""

    def _build(self, template: Model) -> None:
        self.network = deepcopy(template).to(self.state.flat.device)
        layers = [path for path, m in self.network.named_modules() if isinstance(m, StreamDropout)]
        self.leaves, self.gradients, self.members = [], [], []
        for member in range(len(self.state)):
            views = self.state.views(self.state.flat[member])
            leaves = {name: view.detach().requires_grad_() for name, view in views.items()}
            self.leaves += leaves.values()
            self.gradients += self.state.views(self.state.gradients[member]).values()
            buffers = {name: value[member] for name, value in self.state.buffers.items()}
            self.members.append(leaves | buffers | {f"{path}.keys": self.keys[member] for path in layers})

    def modules(self) -> list[nn.Module]:
        """Return the one network that is called for every member."""
        return [self.network]

    def forward(self, x: Float[Tensor, "m b 4 l"]) -> Float[Tensor, "m b r t"]:
        """Return the raw columns, computed one member after another."""
        return torch.stack([self.one(tensors, own) for tensors, own in zip(self.members, x, strict=True)])

    def one(self, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
        """Return the raw columns of the member with these tensors."""
        for module in self.network.modules():
            if isinstance(module, StreamDropout):
                module.calls = 0
        return functional_call(self.network, tensors, (x,))


@strategies.register("compiled_loop")
class CompiledLoop(Compiled, _OneForAll):  # type: ignore[override]  # ``one`` passes on what it is given
    """What one member writes is still in the GPU's cache when its next layer reads it."""
