"""EvoAug's way to combine augmentations (Lee et al. 2023, Genome Biology 24, 105)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from octodon.errors import ConfigError
from octodon.training.augmentations import augmentations

OPERATIONS: tuple[dict[str, Any], ...] = (
    {"name": "deletion", "most_bp": 20},
    {"name": "translocation", "most_bp": 20},
    {"name": "noise", "std": 0.2},
    {"name": "mutation", "fraction": 0.05},
)
"""The reference's list for distillation."""


@augmentations.register("evoaug")
def evoaug(
    generator: torch.Generator,
    operations: Sequence[Mapping[str, Any]] = OPERATIONS,
    fewest: int = 1,
    most: int = 2,
) -> list[Mapping[str, Any]]:
    """Draw, for each batch, ``fewest`` to ``most`` of the operations without replacement; they apply in list order.

    The published second phase of training and distillation is without: see ``augment_until``.

    Raises
    ------
    ConfigError
        For numbers that the list of operations cannot give.
    """
    if not 1 <= fewest <= most <= len(operations):
        raise ConfigError(
            f"evoaug: fewest = {fewest}, most = {most}, expected 1 <= fewest <= most <= {len(operations)} operations"
        )
    count = int(torch.randint(fewest, most + 1, (), generator=generator))
    chosen = torch.randperm(len(operations), generator=generator)[:count].tolist()
    return [operations[i] for i in sorted(chosen)]
