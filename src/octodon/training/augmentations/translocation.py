"""EvoAug's translocation as distillation uses it: one circular roll for the whole batch."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from octodon.errors import ConfigError
from octodon.training.augmentations import augmentations


@augmentations.register("translocation")
def translocation(
    codes: UInt8[Tensor, "n l"], generator: torch.Generator, most_bp: int = 20
) -> UInt8[Tensor, "n l"]:
    """Return all sequences rolled by the same number of bases, uniform on -most_bp .. most_bp - 1.

    One shift for the batch and an upper end that is left out, as in EvoAug-TF's ``RandomTranslocationBatch``, which the
    reference uses; ``shift`` draws for each sequence and includes both ends.

    Raises
    ------
    ConfigError
        For ``most_bp`` below 1.
    """
    if most_bp < 1:
        raise ConfigError(f"translocation: most_bp = {most_bp}, expected 1 or more (bases to either side)")
    by = torch.randint(-most_bp, most_bp, (1,), generator=generator, device=codes.device)
    positions = torch.arange(codes.shape[1], device=codes.device)
    # by index, not torch.roll, which would have to wait for the number
    return codes[:, (positions - by) % codes.shape[1]]
