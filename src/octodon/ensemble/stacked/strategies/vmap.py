"""torch.func: one network as a function of its weights, mapped over the member axis."""

from __future__ import annotations

from copy import deepcopy

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from octodon.ensemble.stacked.dropout import StreamDropout
from octodon.ensemble.stacked.strategies import strategies
from octodon.ensemble.stacked.strategies._base import Strategy
from octodon.models import layers
from octodon.models.model import Model


@strategies.register("vmap")
class Vmap(Strategy):
    """PyTorch's batching rules decide (convolutions become grouped ones); BatchNorm statistics are updated in the stack."""

    for_several = True

    def _build(self, template: Model) -> None:
        self.network = deepcopy(template).to(self.state.flat.device)
        for module in self.network.modules():
            if type(module) is layers.Conv1d:
                # PyTorch's own: ours are made for a CPU, and ``first_block`` would write statistics of one network.
                module.__class__ = nn.Conv1d  # type: ignore[assignment]  # the same fields, another forward
            if isinstance(module, StreamDropout):
                module.in_one_pass = False
        self.leaves_by_name = self._stacked_leaves()
        paths = [path for path, m in self.network.named_modules() if isinstance(m, StreamDropout)]
        self.mapped = self.leaves_by_name | dict(self.state.buffers) | {f"{p}.keys": self.keys for p in paths}

    def modules(self) -> list[nn.Module]:
        """Return the one network that is mapped."""
        return [self.network]

    def forward(self, x: Float[Tensor, "m b 4 l"]) -> Float[Tensor, "m b r t"]:
        """Return the raw columns."""
        return vmap(lambda tensors, own: functional_call(self.network, tensors, (own,)))(self.mapped, x)
