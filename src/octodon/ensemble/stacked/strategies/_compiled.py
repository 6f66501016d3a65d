"""A strategy whose training pass goes through ``torch.compile``."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from octodon.ensemble.stacked.strategies._base import Strategy
from octodon.models.model import Model


class Compiled(Strategy):
    """To be inherited before the strategy that is compiled.

    Only training batches of the usual size are compiled, forward and backward: half a minute that pays on long trainings. The
    last batch of an epoch and validation run as they are.
    """

    compiles = True
    backend: ClassVar[str] = "inductor"

    def _build(self, template: Model) -> None:
        super()._build(template)  # type: ignore[safe-super]  # the strategy that comes next in the line
        # Every stack is compiled anew; kept ones would count against the compiler's limit of versions.
        torch.compiler.reset()
        self._shape: torch.Size | None = None
        self._fast = torch.compile(super().forward, dynamic=False, backend=self.backend)

    def forward(self, x: Float[Tensor, "m b 4 l"]) -> Float[Tensor, "m b r t"]:
        """Return the raw columns."""
        if self.training and self._shape is None:
            self._shape = x.shape
        if self.training and x.shape == self._shape:
            return self._fast(x)
        return super().forward(x)  # type: ignore[safe-super]
