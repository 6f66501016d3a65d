"""What a baseline is: options, and how its networks are trained and read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from octodon.data.examples import Examples
from octodon.ensemble.ensemble import Ensemble
from octodon.models.model import ModelConfig
from octodon.settings import Config


@runtime_checkable
class Train(Protocol):
    """Trains networks on the baseline's data, with the backbone, seed and training settings of its caller."""

    @property
    def model(self) -> ModelConfig:
        """What a network is, with the head that it has unless another is asked for."""
        ...

    def __call__(self, *, members: int | None, head: str | None, training: Mapping[str, Any]) -> Ensemble:
        """Return ``members`` networks with this head (None: as many, and the one, as the caller has); ``training`` changes settings."""
        ...


class Baseline(Config, ABC):
    """One way to an uncertainty; its fields are its options."""

    def check(self, data: Examples, model: ModelConfig) -> None:
        """Refuse what ``fit`` would refuse, before anything of a run is trained; by default nothing.

        Raises
        ------
        ConfigError, DataError
        """
        del data, model

    @abstractmethod
    def fit(self, data: Examples, train: Train) -> Ensemble:
        """Return the trained model; ``data`` are those that ``train`` trains on."""
