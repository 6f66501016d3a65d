"""The other strand."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from octodon.training.augmentations import augmentations


@augmentations.register("reverse_complement")
def reverse_complement(codes: UInt8[Tensor, "n l"], generator: torch.Generator) -> UInt8[Tensor, "n l"]:
    """Return every sequence as its reverse complement; N stays N. Nothing is drawn."""
    del generator
    flipped = codes.flip(1)
    return torch.where(flipped < 4, 3 - flipped, flipped)
