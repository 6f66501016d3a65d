"""Random point mutations."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from octodon.errors import ConfigError
from octodon.training.augmentations import ROWS_AT_ONCE, augmentations


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
    mutated = torch.empty_like(codes)
    for start in range(0, len(codes), ROWS_AT_ONCE):
        rows = codes[start : start + ROWS_AT_ONCE]
        chosen = torch.rand(rows.shape, generator=generator, device=rows.device) < fraction
        step = torch.randint(1, 4, rows.shape, generator=generator, device=rows.device, dtype=torch.uint8)
        mutated[start : start + ROWS_AT_ONCE] = torch.where(chosen & (rows < 4), (rows + step) % 4, rows)
    return mutated
