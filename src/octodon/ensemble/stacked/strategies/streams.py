"""One network after another in the program, side by side on the GPU: every member has a stream of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from octodon.ensemble.stacked.strategies import strategies
from octodon.ensemble.stacked.strategies.loop import Loop
from octodon.ensemble.stacked.unsuitable import Unsuitable
from octodon.models.model import Model


@strategies.register("streams")
class Streams(Loop):
    """The loop with concurrent kernels: a member alone leaves part of a large GPU idle.

    Autograd runs the backward pass of an operation on the stream of its forward pass, and a capture keeps the branches.
    """

    for_several = True
    only_cuda = True

    def _build(self, template: Model) -> None:
        device = self.state.flat.device
        if device.type != "cuda":
            raise Unsuitable("CUDA streams need a GPU")
        super()._build(template)
        self.streams = [torch.cuda.Stream(device) for _ in self.networks]

    def forward(self, x: Float[Tensor, "m b 4 l"]) -> Float[Tensor, "m b r t"]:
        """Return the raw columns, computed side by side."""
        here = torch.cuda.current_stream(x.device)
        outputs = []
        for network, own, stream in zip(self.networks, x, self.streams, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                outputs.append(network(own))
        for stream in self.streams:
            here.wait_stream(stream)
        return torch.stack(outputs)
