"""Altered copies of the training sequences: inputs on which teachers that fit their data still have something to say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray

from octodon.seeds import derive_seed
from octodon.training.augment import Recipe, alter_codes

DEFAULT_RECIPES: tuple[tuple[dict[str, Any], ...], ...] = (
    ({"name": "recombine"}, {"name": "mutate", "fraction": 0.05}),
    ({"name": "mutate", "fraction": 0.05},),
    ({"name": "recombine"},),
    ({"name": "mutate", "fraction": 0.2},),
    ({"name": "recombine"}, {"name": "mutate", "fraction": 0.2}),
    ({"name": "shift", "most_bp": 20}, {"name": "mutate", "fraction": 0.05}),
    ({"name": "reverse_complement"}, {"name": "mutate", "fraction": 0.05}),
    ({"name": "mutate", "fraction": 0.4},),
)
"""Copy number k is made by recipe k modulo 8, so that fewer copies keep the most useful alterations."""
USUAL_COPIES, MOST_COPIES = 24, 128
"""Distinct inputs are worth more than passes over the same ones, but to label one costs nearly three passes (ten members): 24 copies
seen several times teach as much as twice as many seen half as often, at less cost, see benchmarks/results/distillation_promoter.md."""
FEWEST_SEQUENCES, MOST_SEQUENCES = 100_000, 5_000_000


def default_copies(n_rows: int) -> int:
    """Return how many altered copies of ``n_rows`` training sequences are labelled where nobody says.

    24; up to 128 where that is needed to have 100,000 sequences in all (a student needs so many steps); fewer, but at least
    8, where it would be more than 5 million (a large table is varied in itself).
    """
    wanted = max(USUAL_COPIES, math.ceil(FEWEST_SEQUENCES / n_rows) - 1)
    return min(wanted, MOST_COPIES, max(8, MOST_SEQUENCES // n_rows - 1))


def altered_copy(codes: UInt8[ndarray, "n l"], recipe: Recipe, seed: int) -> UInt8[ndarray, "n l"]:
    """Return one altered copy of every sequence, a pure function of (codes, recipe, seed).

    Raises
    ------
    ConfigError
        For an unknown alteration or option.
    """
    return alter_codes(torch.from_numpy(np.array(codes)), recipe, seed).numpy()


def copy_seed(seed: int, copy: int) -> int:
    """Return the seed of copy number ``copy``."""
    return derive_seed(seed, "copy", copy)
