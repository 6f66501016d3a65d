"""Gradients at random points between every reference and the sequence."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

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
from octodon.seeds import derive_seed


@methods.register("gradient_shap")
@dataclass(frozen=True)
class GradientShap(Method):
    """GradientSHAP, also called expected gradients (Lundberg and Lee 2017; Erion et al. 2021).

    Parameters
    ----------
    samples : int
        Random points on the line from each reference.
    """

    samples: int = 1
    needs_background: ClassVar[bool] = True

    def __call__(
        self,
        f: nn.Module,
        x: Float[Tensor, "n 4 l"],
        background: Float[Tensor, "n k 4 l"] | None,
        seed: int,
    ) -> Explanation:
        """Return the contributions of every base; an unbiased estimate of integrated gradients."""
        assert background is not None
        average = torch.zeros_like(background)
        shares = torch.stack([_points(row, self.samples, background.shape[1], seed) for row in x])
        for share in shares.to(x).unbind(1):
            share = share[:, :, None, None]
            point = background + share * (x[:, None] - background)
            average += gradient(f, point.flatten(0, 1)).view_as(background) / self.samples
        deltas = difference(f, x, background) - attributed(x, background, average)
        return Explanation(maps=hypothetical(average, background), deltas=deltas)


def _points(row: Float[Tensor, "4 l"], samples: int, k: int, seed: int) -> Float[Tensor, "samples k"]:
    """Return places between each reference and a sequence, from 0 to 1: its own, whatever is explained beside it."""
    name = hashlib.sha256(row.to(torch.float32).cpu().numpy().tobytes()).hexdigest()
    generator = torch.Generator().manual_seed(derive_seed(seed, name))
    return torch.rand((samples, k), generator=generator, dtype=torch.float64)
