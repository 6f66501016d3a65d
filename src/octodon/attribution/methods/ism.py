"""In-silico saturation mutagenesis: what every single mutation does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.attribution.fast_ism.reader import mutants_of, read_mutants
from octodon.attribution.methods import methods
from octodon.attribution.methods._base import Explanation, Method, values
from octodon.attribution.scalar import Scalar


@methods.register("ism")
@dataclass(frozen=True)
class SaturationMutagenesis(Method):
    """The output with each base at each position, minus the mean over the four bases (tangermeme's convention).

    ``Attribution.effects`` are the effects of the mutations, f(mutant) - f(x); NaN at an N, where no base's map is f(x).

    Parameters
    ----------
    fast : bool
        Compute only what a mutation changes, where the network allows it.
    """

    fast: bool = True

    def __call__(
        self,
        f: nn.Module,
        x: Float[Tensor, "n 4 l"],
        background: Float[Tensor, "n k 4 l"] | None,
        seed: int,
    ) -> Explanation:
        """Return f(mutant) - mean over bases of f(mutant)."""
        with torch.no_grad():
            if isinstance(f, Scalar):
                told = f.of([read_mutants(network, x, self.fast) for network in f.networks])
            else:
                told = torch.cat([values(f, mutants_of(row)) for row in x])
        told = told.view(len(x), x.shape[2], 4).transpose(1, 2)
        return Explanation(maps=told - told.mean(1, keepdim=True))
