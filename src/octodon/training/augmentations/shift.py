"""Circular shifts."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from octodon.training.augmentations import augmentations


@augmentations.register("shift")
def shift(codes: UInt8[Tensor, "n l"], generator: torch.Generator, most_bp: int = 20) -> UInt8[Tensor, "n l"]:
    """Return sequences rolled by a uniform number of bases from -most_bp to most_bp, drawn for each sequence."""
    n, length = codes.shape
    by = torch.randint(-most_bp, most_bp + 1, (n, 1), generator=generator, device=codes.device)
    index = (torch.arange(length, device=codes.device) - by) % length
    return codes.gather(1, index)
