"""Random DNA of the same composition."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from octodon.training.augmentations import augmentations
from octodon.training.augmentations._rearrange import in_blocks


@augmentations.register("shuffle")
@in_blocks
def shuffle(codes: UInt8[Tensor, "n l"], generator: torch.Generator) -> UInt8[Tensor, "n l"]:
    """Return each sequence with its positions in an order of its own: composition kept, everything else lost.

    The reference's ``random`` augmentation; at inference that one shuffled the sequences of a batch instead.
    """
    return codes.gather(1, torch.rand(codes.shape, generator=generator, device=codes.device).argsort(1))
