"""EvoAug's inversion."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from octodon.training.augmentations import augmentations
from octodon.training.augmentations._rearrange import draw_lengths, draw_starts, in_blocks


@augmentations.register("inversion")
@in_blocks
def inversion(
    codes: UInt8[Tensor, "n l"], generator: torch.Generator, fewest_bp: int = 0, most_bp: int = 20
) -> UInt8[Tensor, "n l"]:
    """Return sequences in which one stretch stands as its reverse complement; N stays N.

    Length uniform on fewest_bp .. most_bp, start uniform on 0 .. l - most_bp (EvoAug, ``RandomInversion``).

    Raises
    ------
    ConfigError
        For lengths that do not fit the sequences.
    """
    lengths = draw_lengths("inversion", codes, fewest_bp, most_bp, generator)
    starts, positions = draw_starts(codes, codes.shape[1] - most_bp + 1, generator)
    inside = (positions >= starts) & (positions < starts + lengths)
    mirrored = codes.gather(1, torch.where(inside, 2 * starts + lengths - 1 - positions, positions))
    return torch.where(inside & (mirrored < 4), 3 - mirrored, mirrored)
