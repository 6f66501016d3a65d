"""Augmentations: one file each, ``(codes, generator, **options) -> codes``, batched on the device of the codes.

To add one, write a file here with a function decorated with ``@augmentations.register("name")``.
"""

from collections.abc import Callable

from torch import Tensor

from octodon.registry import Registry

augmentations: Registry[Callable[..., Tensor]] = Registry("augmentation", __name__)
