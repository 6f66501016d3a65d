"""Random point mutations."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from numpy import ndarray

from octodon.shifts.kinds import shifts
from octodon.training.augment import alter_codes


@shifts.register("mutagenesis")
def mutagenesis(codes: UInt8[ndarray, "n l"], seed: int, fraction: float = 0.05) -> UInt8[ndarray, "n l"]:
    """Return sequences of which ``fraction`` of the bases have, on average, become another one.

    round(fraction / 0.75 l) positions of each are drawn anew, one in four of them silently: at 0.05 the published small
    shift (17 of 249 positions drawn).

    Raises
    ------
    ConfigError
        For a fraction outside 0 to 0.75.
    """
    recipe = [{"name": "mutation", "fraction": fraction}]
    return alter_codes(torch.from_numpy(codes.copy()), recipe, seed).numpy()
