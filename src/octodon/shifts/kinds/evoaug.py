"""Several of EvoAug's operations at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray

from octodon.seeds import derive_seed
from octodon.shifts.kinds import shifts
from octodon.training.augment import alter_codes

OPERATIONS: tuple[dict[str, Any], ...] = (
    {"name": "deletion", "most_bp": 20},
    {"name": "shift", "most_bp": 20},
    {"name": "mutation", "fraction": 0.05},
)
"""The published list, its translocation drawn for each sequence, without its Gaussian noise (sd 0.2) on the one-hot: what comes
of that is no sequence. So two of these are not the published shift: there one of the two is the noise in half of the batches."""
BATCH = 128


@shifts.register("evoaug")
def evoaug(codes: UInt8[ndarray, "n l"], seed: int, operations: int = 2) -> UInt8[ndarray, "n l"]:
    """Return sequences altered by so many of deletion, translocation (up to 20 bp each) and mutation (5 %).

    Which ones is drawn for every 128 sequences, as published. The published intermediate shift draws two of four, the fourth
    being noise on the one-hot, which is none of these.

    Raises
    ------
    ConfigError
        For a number of operations outside 1 to 3, or sequences shorter than 20 bp.
    """
    recipe = [{"name": "evoaug", "operations": OPERATIONS, "fewest": operations, "most": operations}]
    parts = [torch.from_numpy(codes[start : start + BATCH].copy()) for start in range(0, len(codes), BATCH)]
    altered = [alter_codes(part, recipe, derive_seed(seed, number)) for number, part in enumerate(parts)]
    return np.concatenate([part.numpy() for part in altered])
