"""Circular shifts."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from octodon.errors import ConfigError
from octodon.training.augmentations import ROWS_AT_ONCE, augmentations

SHARE = 0.07
"""Of the length: 10 of 144 bp, 16 of 230, 1 of 20. Ten were better than 20 for members (benchmarks/results/members.md)."""


@augmentations.register("shift")
def shift(
    codes: UInt8[Tensor, "n l"], generator: torch.Generator, most_bp: int | None = None
) -> UInt8[Tensor, "n l"]:
    """Return sequences rolled by a uniform number of bases from -most_bp to most_bp, drawn for each sequence.

    ``most_bp`` is 7 % of the length unless it is given.

    Raises
    ------
    ConfigError
        For a negative ``most_bp``.
    """
    n, length = codes.shape
    most_bp = round(SHARE * length) if most_bp is None else most_bp
    if most_bp < 0:
        raise ConfigError(f"shift: most_bp = {most_bp}, expected 0 or more (bases to either side)")
    by = torch.randint(-most_bp, most_bp + 1, (n, 1), generator=generator, device=codes.device)
    positions = torch.arange(length, device=codes.device)
    shifted = torch.empty_like(codes)
    for start in range(0, n, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        torch.gather(codes[rows], 1, (positions - by[rows]) % length, out=shifted[rows])
    return shifted
