"""Augmentations: one file each, batched on the device of what they alter.

To add one, write a file here with a function decorated with ``@augmentations.register("name")``. What it takes and returns
follows from its first parameter's name:

- ``(codes, generator, **options) -> codes``: alters sequences as uint8 codes;
- ``(inputs, generator, **options) -> inputs``: alters the one-hot, which then is no sequence any more (noise);
- ``(generator, **options) -> steps``: draws, for a whole batch, which of other augmentations are applied (EvoAug).
"""

import enum
import inspect
from collections.abc import Callable
from typing import Any

from octodon.registry import Registry

ROWS_AT_ONCE = 16_384
"""Rows that are altered together: at 249 bp an index (8 bytes a base) takes 33 MB, while all of 400,000 would take 0.8 GB."""

augmentations: Registry[Callable[..., Any]] = Registry("augmentation", __name__)


class Kind(enum.Enum):
    """What an augmentation alters, by the name of its first parameter."""

    CODES = "codes"
    INPUT = "inputs"
    CHOICE = "generator"


def kind_of(name: str) -> Kind:
    """Return what the augmentation called ``name`` alters."""
    return Kind(next(iter(inspect.signature(augmentations[name]).parameters)))
