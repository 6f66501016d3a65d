"""The plain gradient."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from octodon.attribution.methods import methods
from octodon.attribution.methods._base import Explanation, Method, gradient


@methods.register("saliency")
@dataclass(frozen=True)
class Saliency(Method):
    """The gradient of the output with respect to the one-hot input, as it is (Simonyan et al. 2014)."""

    def __call__(
        self,
        f: nn.Module,
        x: Float[Tensor, "n 4 l"],
        background: Float[Tensor, "n k 4 l"] | None,
        seed: int,
    ) -> Explanation:
        """Return df/dx."""
        return Explanation(maps=gradient(f, x))
