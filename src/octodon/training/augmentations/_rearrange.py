"""What operations on stretches of DNA share: every new position names the position it comes from, or random DNA."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from octodon.errors import ConfigError
from octodon.training import augmentations as package


def in_blocks(alter: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Let an augmentation see at most ``ROWS_AT_ONCE`` sequences, so that its indices (8 bytes a base) stay small."""

    @functools.wraps(alter)
    def altered(codes: Tensor, generator: torch.Generator, **options: Any) -> Tensor:
        if len(codes) <= package.ROWS_AT_ONCE:
            return alter(codes, generator, **options)
        return torch.cat([alter(rows, generator, **options) for rows in codes.split(package.ROWS_AT_ONCE)])

    return altered


def rearranged(
    codes: UInt8[Tensor, "n l"], source: Int64[Tensor, "n l"], generator: torch.Generator
) -> UInt8[Tensor, "n l"]:
    """Return sequences whose position j holds what was at ``source`` j, or a uniform random base where that is outside."""
    length = codes.shape[1]
    inside = (source >= 0) & (source < length)
    filler = torch.randint(0, 4, codes.shape, generator=generator, device=codes.device, dtype=torch.uint8)
    return torch.where(inside, codes.gather(1, source.clamp(0, length - 1)), filler)


def draw_lengths(
    name: str, codes: UInt8[Tensor, "n l"], fewest_bp: int, most_bp: int, generator: torch.Generator
) -> Int64[Tensor, "n 1"]:
    """Return one length for each sequence, uniform from ``fewest_bp`` to ``most_bp``, both included.

    Raises
    ------
    ConfigError
        For lengths that are negative, in the wrong order, or beyond that of the sequences.
    """
    n, length = codes.shape
    if not 0 <= fewest_bp <= most_bp <= length:
        raise ConfigError(
            f"{name}: fewest_bp = {fewest_bp}, most_bp = {most_bp}, expected 0 <= fewest_bp <= most_bp <= {length} "
            f"(the length of the sequences)"
        )
    return torch.randint(fewest_bp, most_bp + 1, (n, 1), generator=generator, device=codes.device)


def draw_starts(
    codes: UInt8[Tensor, "n l"], starts: int, generator: torch.Generator
) -> tuple[Int64[Tensor, "n 1"], Int64[Tensor, " l"]]:
    """Return one position for each sequence, uniform on 0 .. starts - 1, and all positions."""
    n, length = codes.shape
    return (
        torch.randint(0, starts, (n, 1), generator=generator, device=codes.device),
        torch.arange(length, device=codes.device),
    )
