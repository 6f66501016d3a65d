"""EvoAug's mutation: the same number of draws in every sequence, some of them silent."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from octodon.errors import ConfigError
from octodon.training.augmentations import augmentations
from octodon.training.augmentations._rearrange import in_blocks


@augmentations.register("mutation")
@in_blocks
def mutation(
    codes: UInt8[Tensor, "n l"], generator: torch.Generator, fraction: float = 0.05
) -> UInt8[Tensor, "n l"]:
    """Return sequences with a uniform random base (also in place of N) at round(fraction / 0.75 l) distinct positions.

    One draw in four is silent, so ``fraction`` is the expected share that changes (EvoAug, ``RandomMutation``);
    ``mutate`` draws every base for itself, never silently.

    Raises
    ------
    ConfigError
        For a fraction outside 0 to 0.75.
    """
    if not 0 <= fraction <= 0.75:
        raise ConfigError(
            f"mutation: fraction = {fraction}, expected 0 to 0.75 (0.75: every base drawn anew)"
        )
    count = round(fraction / 0.75 * codes.shape[1])
    order = torch.rand(codes.shape, generator=generator, device=codes.device).argsort(1)[:, :count]
    bases = torch.randint(0, 4, order.shape, generator=generator, device=codes.device, dtype=torch.uint8)
    return codes.scatter(1, order, bases)
