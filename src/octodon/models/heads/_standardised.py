"""What the default heads share: columns measured in units of their own spread, so that none drowns another."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from octodon.models.heads._base import Head, Labels, column_scale, squared_error


class StandardisedHead(Head):
    """A head that keeps location and scale of every label column as buffers, set once from the training labels.

    Class attributes
    ----------------
    standardises : tuple of str or None
        The labels (n, t) that are so treated; None = all that the head needs.
    """

    standardises: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, n_features: int, n_targets: int) -> None:
        super().__init__(n_features, n_targets)
        for name in self._standardised:
            self.register_buffer(f"{name}_location", torch.zeros(n_targets))
            self.register_buffer(f"{name}_scale", torch.ones(n_targets))

    @property
    def _standardised(self) -> tuple[str, ...]:
        return self.needs if self.standardises is None else self.standardises

    def transform(self, name: str, label: Tensor) -> Tensor:
        """Return the label as the column sees it; the identity unless a head says otherwise."""
        del name
        return label

    def fit_scale(self, labels: Labels) -> None:
        """Store mean and population std of every training label column."""
        for name in self._standardised:
            location, scale = column_scale(self.transform(name, labels[name]))
            getattr(self, f"{name}_location").copy_(location)
            getattr(self, f"{name}_scale").copy_(scale)

    def column_loss(
        self, name: str, prediction: Float[Tensor, "n t"], labels: Labels
    ) -> Float[Tensor, "n t"]:
        """Return the squared error of one column, in units of the variance of its training labels."""
        # Shapes are compared before dividing, which would broadcast a label of shape (n, 1).
        error = squared_error(prediction, self.transform(name, labels[name]))
        return error / self.get_buffer(f"{name}_scale").square()

    def unscale(self, name: str, raw: Float[Tensor, "n t"]) -> Float[Tensor, "n t"]:
        """Return a raw column in label units."""
        return raw * getattr(self, f"{name}_scale") + getattr(self, f"{name}_location")
