"""What a calibration does at one level, as numbers alone: for a graph that runs without octodon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, kw_only=True)
class Form:
    """Std and interval of one target as multiples of a scale, by cells of predicted activity.

    scale = max(sqrt(epistemic * epistemic std^2 + noise * noise std^2 + constant_var), floor_std), the noise being that of
    the mean of R replicates. In the cell of a row (one more cell than ``edges``; a mean on an edge lies above it) the std is
    ``std * scale``, and the interval reaches from mean + ``lower * scale`` to mean + ``upper * scale``.
    """

    std: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    edges: tuple[float, ...] = ()
    epistemic: float = 1.0
    noise: float = 1.0
    constant_var: float = 0.0
    floor_std: float = 0.0


@runtime_checkable
class Expressible(Protocol):
    """A calibration method that can say its form; one that cannot works in Python alone."""

    def form(self, level: float) -> Form:
        """Return the numbers of one level."""
        ...
