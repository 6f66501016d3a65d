"""Random DNA of the same bases."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from numpy import ndarray

from octodon.shifts.kinds import shifts
from octodon.training.augment import alter_codes


@shifts.register("shuffle")
def shuffle(codes: UInt8[ndarray, "n l"], seed: int) -> UInt8[ndarray, "n l"]:
    """Return each sequence with its bases in random order, only their counts kept: the published large shift."""
    return alter_codes(torch.from_numpy(codes.copy()), [{"name": "shuffle"}], seed).numpy()
