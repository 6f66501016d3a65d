"""Recombination: the left part of one sequence joined to the right part of another."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from octodon.training.augmentations import augmentations


@augmentations.register("recombine")
def recombine(codes: UInt8[Tensor, "n l"], generator: torch.Generator) -> UInt8[Tensor, "n l"]:
    """Return sequences whose bases right of a uniform cut point come from ANOTHER sequence of the same set.

    Positions are kept, so that what is native to the left end stays there. The cut leaves at least one base of each
    parent (for l of at least 2). A set of one sequence has no other: it comes back unchanged.
    """
    n, length = codes.shape
    # Neighbours in a random circle: unlike in a bare permutation, nobody is its own partner.
    circle = torch.randperm(n, generator=generator, device=codes.device)
    partner = torch.empty_like(codes)
    partner[circle] = codes[circle.roll(1)]
    cut = torch.randint(1, max(length, 2), (n, 1), generator=generator, device=codes.device)
    keep = torch.arange(length, device=codes.device) < cut
    return torch.where(keep, codes, partner)
