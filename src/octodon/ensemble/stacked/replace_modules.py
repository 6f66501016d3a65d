"""Networks with some of their layers exchanged, and what makes that possible."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from octodon.ensemble.stacked.dropout import StreamDropout
from octodon.ensemble.stacked.unsuitable import Unsuitable
from octodon.models.model import Model
from octodon.models.seeded import seeded

Convert = Callable[[str, nn.Module], nn.Module | None]
"""From (path, module) to the module in its place; None keeps it."""


def replaced(model: Model, convert: Convert) -> Model:
    """Return a copy of a network with modules exchanged; a module that is used in two places stays one module."""
    model = deepcopy(model)
    new: dict[nn.Module, nn.Module | None] = {}
    for path, parent in list(model.named_modules()):
        for name, child in list(parent.named_children()):
            if child not in new:
                new[child] = convert(f"{path}.{name}".removeprefix("."), child)
            found = new[child]
            if found is not None:
                setattr(parent, name, found)
    return model


def with_streams(model: Model, length: int) -> Model:
    """Return a copy whose dropout draws from a stream of each member's own.

    Raises
    ------
    Unsuitable
        When it draws random numbers elsewhere: they would depend on the other members of the stack.
    """
    if _draws(
        replaced(model, lambda _, module: nn.Identity() if type(module) is nn.Dropout else None), length
    ):
        raise Unsuitable("it draws random numbers outside nn.Dropout")
    layers = iter(range(2**20))

    def convert(path: str, module: nn.Module) -> nn.Module | None:
        del path
        return StreamDropout(module.p, next(layers)) if type(module) is nn.Dropout else None

    found = replaced(model, convert)
    return _FullHead(found.backbone, found.head)


class _FullHead(Model):
    """A network whose head is computed in the numbers of its weights, whatever the backbone is computed in."""

    def forward(self, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, "n r t"]:
        """Return the head's raw columns."""
        features = self.backbone(x)
        with torch.autocast(x.device.type, enabled=False):
            return self.head(features.to(x.dtype))


def _draws(model: Model, length: int) -> bool:
    first = next(model.parameters())
    watch = _Watch()
    with seeded(0), torch.no_grad(), watch:
        model.cpu().train()(torch.zeros(2, 4, length, dtype=first.dtype))
    return watch.drew


class _Watch(TorchDispatchMode):
    """Notices operations that draw random numbers."""

    drew = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        self.drew |= torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))
