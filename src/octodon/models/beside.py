"""A second, narrower backbone beside the first, for what a head must not take from the features of the activity."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

_SECOND = ("backbone.second.", "head.second.")


def is_second(name: str) -> bool:
    """Return whether a weight or buffer of a ``Model`` is of its second backbone, or of the columns that read it."""
    return name.startswith(_SECOND)


class Beside(nn.Module):
    """Two backbones on the same sequences: the features of the first, then those of the second.

    On a CPU the second draws its dropout aside: the first has the random numbers that it would have alone.

    Parameters
    ----------
    first, second : nn.Module
        ``(n, 4, l) -> (n, f)`` each.
    n_features : int
        Columns of both together.
    """

    def __init__(self, first: nn.Module, second: nn.Module, n_features: int) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.n_features = n_features

    def forward(self, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, "n f"]:
        """Return the features of both."""
        first = self.first(x)
        if self.training and x.device.type == "cpu":
            with torch.random.fork_rng(devices=[]):
                second = self.second(x)
        else:
            second = self.second(x)
        return torch.cat([first, second], dim=1)


def narrower(backbone_class: type, options: Mapping[str, Any], share: float) -> dict[str, Any]:
    """Return the options of a backbone of the same class, ``share`` as wide; as they are where it has no ``width``."""
    known = inspect.signature(backbone_class.__init__).parameters.get("width")
    if known is None:
        return dict(options)
    width = options.get("width", known.default)
    # a number of channels stays a whole one; a factor may be written as 1, too
    narrow = max(1, round(width * share)) if isinstance(known.default, int) else width * share
    return {**options, "width": narrow}
