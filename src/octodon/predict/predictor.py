"""What can predict: a student or an ensemble, seen only through this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from octodon.models.model import ModelConfig
from octodon.records import Prediction


@runtime_checkable
class Predictor(Protocol):
    """A trained model that answers with a ``Prediction``."""

    @property
    def model(self) -> ModelConfig:
        """Architecture, with the sequence length that is accepted."""
        ...

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the targets."""
        ...

    @property
    def units(self) -> str:
        """Unit of mean and std."""
        ...

    def predict(
        self, sequences: Any, ids: Sequence[str] | None = None, *, device: str = "auto"
    ) -> Prediction:
        """Return mean and uncertainty per sequence, in input order; "auto" computes on a GPU where there is one."""
        ...
