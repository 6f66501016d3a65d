"""Random point mutations."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from octodon.errors import ConfigError
from octodon.training.augmentations import augmentations


@augmentations.register("mutate")
def mutate(
    codes: UInt8[Tensor, "n l"], generator: torch.Generator, fraction: float = 0.05
) -> UInt8[Tensor, "n l"]:
    """Return sequences in which each base is, with probability ``fraction``, replaced by one of the three others.

    ``fraction`` is the effective rate: no draw is silent. N stays N.

    Raises
    ------
    ConfigError
        For a fraction outside 0 to 1.
    """
    if not 0 <= fraction <= 1:
        raise ConfigError(f"mutate: fraction = {fraction}, expected 0 to 1 (the share of bases replaced)")
    chosen = torch.rand(codes.shape, generator=generator, device=codes.device) < fraction
    step = torch.randint(1, 4, codes.shape, generator=generator, device=codes.device, dtype=torch.uint8)
    return torch.where(chosen & (codes < 4), (codes + step) % 4, codes)
