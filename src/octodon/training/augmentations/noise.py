"""EvoAug's Gaussian noise on the one-hot."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from octodon.errors import ConfigError
from octodon.training.augmentations import augmentations


@augmentations.register("noise")
def noise(
    inputs: Float[Tensor, "n 4 l"], generator: torch.Generator, mean: float = 0.0, std: float = 0.2
) -> Float[Tensor, "n 4 l"]:
    """Return the one-hot plus independent Gaussian noise on all four channels (EvoAug, ``RandomNoise``).

    It comes after every step of a recipe that alters bases, wherever it stands there.

    Raises
    ------
    ConfigError
        For a negative std.
    """
    if not (std >= 0 and math.isfinite(std) and math.isfinite(mean)):
        raise ConfigError(f"noise: mean = {mean}, std = {std}, expected finite numbers, std 0 or more")
    drawn = torch.randn(inputs.shape, generator=generator, device=inputs.device, dtype=inputs.dtype)
    return inputs + (mean + std * drawn)
