"""Gradients averaged along the straight line from every reference to the sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.attribution.methods import methods
from octodon.attribution.methods._base import (
    Explanation,
    Method,
    attributed,
    difference,
    gradient,
    hypothetical,
)


@methods.register("integrated_gradients")
@dataclass(frozen=True)
class IntegratedGradients(Method):
    """Integrated gradients (Sundararajan et al. 2017), averaged over the background.

    Parameters
    ----------
    steps : int
        Points of the Gauss-Legendre rule on each line.
    """

    steps: int = 16
    needs_background: ClassVar[bool] = True

    def __call__(
        self,
        f: nn.Module,
        x: Float[Tensor, "n 4 l"],
        background: Float[Tensor, "n k 4 l"] | None,
        seed: int,
    ) -> Explanation:
        """Return the contributions of every base; they sum to f(x) - mean f(background) as ``steps`` grows."""
        assert background is not None
        nodes, weights = np.polynomial.legendre.leggauss(self.steps)
        average = torch.zeros_like(background)
        for node, weight in zip(nodes, weights, strict=True):
            point = torch.lerp(background, x[:, None].expand_as(background), (1 + float(node)) / 2)
            average += float(weight) / 2 * gradient(f, point.flatten(0, 1)).view_as(background)
        deltas = difference(f, x, background) - attributed(x, background, average)
        return Explanation(maps=hypothetical(average, background), deltas=deltas)
