"""Altered copies of the training sequences: inputs on which teachers that fit their data still have something to say."""

from __future__ import annotations

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
    ({"name": "shift"}, {"name": "mutate", "fraction": 0.05}),
    ({"name": "reverse_complement"}, {"name": "mutate", "fraction": 0.05}),
    ({"name": "mutate", "fraction": 0.4},),
)
"""Copy number k is made by recipe k modulo 8, so that fewer copies keep the most useful alterations."""


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
