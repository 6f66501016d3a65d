"""In-silico saturation mutagenesis: what every single mutation does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.attribution.methods import methods
from octodon.attribution.methods._base import Explanation, Method, values


@methods.register("ism")
@dataclass(frozen=True)
class SaturationMutagenesis(Method):
    """The output with each base at each position, minus the mean over the four bases (tangermeme's convention).

    ``Attribution.effects`` are the effects of the mutations, f(mutant) - f(x).
    """

    def __call__(
        self,
        f: nn.Module,
        x: Float[Tensor, "n 4 l"],
        background: Float[Tensor, "n k 4 l"] | None,
        seed: int,
    ) -> Explanation:
        """Return f(mutant) - mean over bases of f(mutant)."""
        told = torch.stack([_one(f, row) for row in x])
        return Explanation(maps=told - told.mean(1, keepdim=True))


def _one(f: nn.Module, row: Float[Tensor, "4 l"]) -> Float[Tensor, "4 l"]:
    length = row.shape[1]
    mutants = row.repeat(4 * length, 1, 1).unflatten(0, (4, length))
    position = torch.arange(length, device=row.device)
    for base in range(4):
        mutants[base, position, :, position] = 0
        mutants[base, position, base, position] = 1
    return values(f, mutants.flatten(0, 1)).view(4, length)
