"""What a method is, and what several methods share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.errors import DataError

ROWS = 256
"""Sequences at once through a network and back."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Maps of some sequences.

    Attributes
    ----------
    maps : (n, 4, l) tensor
        A value for every base at every position, not multiplied by the input.
    deltas : (n,) tensor or None
        f(x) - mean f(background) - sum of the observed contributions.
    fallback : str
        Which method was used instead and why; "" as a rule.
    """

    maps: Float[Tensor, "n 4 l"]
    deltas: Float[Tensor, " n"] | None = None
    fallback: str = ""


class Method(ABC):
    """A way to attribute; options are the fields of the class, a frozen dataclass.

    Class attributes
    ----------------
    needs_background : bool
        Whether contributions are relative to references.
    """

    needs_background: ClassVar[bool] = False

    @abstractmethod
    def __call__(
        self,
        f: nn.Module,
        x: Float[Tensor, "n 4 l"],
        background: Float[Tensor, "n k 4 l"] | None,
        seed: int,
    ) -> Explanation:
        """Return the maps of ``f: (n, 4, l) -> (n,)`` at ``x``; a function of the arguments alone."""


def gradient(f: nn.Module, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, "n 4 l"]:
    """Return df/dx of every row, rows independent."""
    pieces = []
    for rows in x.split(ROWS):
        here = rows.detach().requires_grad_(True)
        with torch.enable_grad(), _differentiable_recurrence(x.device):
            said = f(here).sum()
            found = torch.autograd.grad(said, here, allow_unused=True) if said.requires_grad else (None,)
        if found[0] is None:
            raise DataError(
                "attribution: no gradient reaches the sequence through this backbone (argmax, detach or integers on the way); choose a "
                "method that only predicts, e.g. ism"
            )
        pieces.append(found[0])
    return torch.cat(pieces)


def values(f: nn.Module, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, " n"]:
    """Return f of every row."""
    with torch.no_grad():
        return torch.cat([f(rows) for rows in x.split(ROWS)])


def hypothetical(
    multipliers: Float[Tensor, "n k 4 l"], background: Float[Tensor, "n k 4 l"]
) -> Float[Tensor, "n 4 l"]:
    """Return what each base would contribute against the references, averaged over them.

    Base b at a position instead of a reference r contributes sum over bases of (1[b] - r) * multiplier
    (Shrikumar et al. 2018, arXiv 1811.00416); for the base that is there, that is (x - r) * multiplier.
    """
    from_reference = (background * multipliers).sum(2, keepdim=True)
    return (multipliers - from_reference).mean(1)


def difference(
    f: nn.Module, x: Float[Tensor, "n 4 l"], background: Float[Tensor, "n k 4 l"]
) -> Float[Tensor, " n"]:
    """Return f(x) - mean f(background): what the contributions of a sequence should sum to."""
    reference = values(f, background.flatten(0, 1)).unflatten(0, background.shape[:2]).mean(1)
    return values(f, x) - reference


def attributed(
    x: Float[Tensor, "n 4 l"],
    background: Float[Tensor, "n k 4 l"],
    multipliers: Float[Tensor, "n k 4 l"],
) -> Float[Tensor, " n"]:
    """Return what the contributions of a sequence do sum to: (x - background) * multiplier, averaged over references."""
    return ((x[:, None] - background) * multipliers).sum((2, 3)).mean(1)


@contextmanager
def _differentiable_recurrence(device: torch.device) -> Iterator[None]:
    """Let cuDNN be: its recurrent layers have no gradient in evaluation mode."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=False):
        yield
