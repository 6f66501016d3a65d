"""EvoAug's deletion."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from octodon.training.augmentations import augmentations
from octodon.training.augmentations._rearrange import draw_lengths, draw_starts, in_blocks, rearranged


@augmentations.register("deletion")
@in_blocks
def deletion(
    codes: UInt8[Tensor, "n l"], generator: torch.Generator, fewest_bp: int = 0, most_bp: int = 20
) -> UInt8[Tensor, "n l"]:
    """Return sequences without one stretch of their own, the length kept by random DNA at both ends.

    Length d uniform on fewest_bp .. most_bp, start uniform on 0 .. l - most_bp; floor(d / 2) random bases go to the left
    end, the others to the right one (EvoAug, Lee et al. 2023, ``RandomDeletion``).

    Raises
    ------
    ConfigError
        For lengths that do not fit the sequences.
    """
    lengths = draw_lengths("deletion", codes, fewest_bp, most_bp, generator)
    starts, positions = draw_starts(codes, codes.shape[1] - most_bp + 1, generator)
    source = positions - lengths // 2
    return rearranged(codes, source + torch.where(source >= starts, lengths, 0), generator)
