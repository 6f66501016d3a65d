"""Strategies of which a part goes through ``torch.compile``."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from octodon.ensemble.stacked.strategies._base import Strategy
from octodon.models.model import Model


class Compiled(Strategy):
    """To be inherited before a strategy with a method ``one``: what is compiled.

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
        self._fast = torch.compile(super().one, dynamic=False, backend=self.backend)  # type: ignore[misc]

    def forward(self, x: Float[Tensor, "m b 4 l"]) -> Float[Tensor, "m b r t"]:
        """Return the raw columns."""
        if self.training and self._shape is None:
            self._shape = x.shape
        self._is_usual = self.training and x.shape == self._shape
        return super().forward(x)  # type: ignore[safe-super]

    def one(self, *arguments: Any) -> Tensor:
        """Return what the compiled part gives."""
        return self._fast(*arguments) if self._is_usual else super().one(*arguments)  # type: ignore[misc]
