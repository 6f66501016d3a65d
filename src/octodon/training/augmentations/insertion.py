"""EvoAug's insertion, at constant length."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from octodon.training.augmentations import augmentations
from octodon.training.augmentations._rearrange import draw_lengths, draw_starts, in_blocks, rearranged


@augmentations.register("insertion")
@in_blocks
def insertion(
    codes: UInt8[Tensor, "n l"], generator: torch.Generator, fewest_bp: int = 0, most_bp: int = 20
) -> UInt8[Tensor, "n l"]:
    """Return sequences with one stretch of random DNA inside, cropped evenly at both ends to the length they had.

    Length uniform on fewest_bp .. most_bp, place uniform on 0 .. l - 1 as in EvoAug's ``RandomInsertion``, which lets
    every sequence grow by most_bp instead and pads the others with random DNA: here networks keep their input length.

    Raises
    ------
    ConfigError
        For lengths that do not fit the sequences.
    """
    lengths = draw_lengths("insertion", codes, fewest_bp, most_bp, generator)
    starts, positions = draw_starts(codes, codes.shape[1], generator)
    grown = positions + lengths // 2  # position in the sequence that has grown
    source = torch.where(grown < starts, grown, torch.where(grown < starts + lengths, -1, grown - lengths))
    return rearranged(codes, source, generator)
