"""Augmentations: one file each, ``(codes, generator, **options) -> codes``, batched on the device of the codes.

To add one, write a file here with a function decorated with ``@augmentations.register("name")``.
"""

from collections.abc import Callable

from torch import Tensor

from octodon.registry import Registry

ROWS_AT_ONCE = 16_384
"""Rows that are altered together: at 249 bp an index (8 bytes a base) takes 33 MB, while all of 400,000 would take 0.8 GB."""

augmentations: Registry[Callable[..., Tensor]] = Registry("augmentation", __name__)
