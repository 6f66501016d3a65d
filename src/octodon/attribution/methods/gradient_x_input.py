"""The gradient on the simplex, read at the bases that are there."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from octodon.attribution.methods import methods
from octodon.attribution.methods._base import Explanation, Method, gradient


@methods.register("gradient_x_input")
@dataclass(frozen=True)
class GradientTimesInput(Method):
    """The gradient minus its mean over the four bases; ``Attribution.observed`` is its product with the input.

    A network never sees input off the simplex of one-hot columns, so the part of the gradient that points off it
    (equal for all four bases) is arbitrary and is taken away (Majdandzic et al. 2023, Genome Biology 24, 109, eq. 4).
    """

    def __call__(
        self,
        f: nn.Module,
        x: Float[Tensor, "n 4 l"],
        background: Float[Tensor, "n k 4 l"] | None,
        seed: int,
    ) -> Explanation:
        """Return df/dx - mean over bases of df/dx."""
        plain = gradient(f, x)
        return Explanation(maps=plain - plain.mean(1, keepdim=True))
