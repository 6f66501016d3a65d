"""How an ensemble is made."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from octodon.settings import Config
from octodon.training.config import TrainingConfig

_PUBLISHED_TRAINING = {"norm_momentum": "backbone", "patience_steps": 0}

ENSEMBLE_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {"head": "mean", "training": _PUBLISHED_TRAINING},
    "paper-lentimpra": {"head": "paper_aleatoric", "training": _PUBLISHED_TRAINING},
}
"""What a preset changes in ``EnsembleConfig``. ``paper``: plain MSE on the measured values, the published patience, no noise
even where there are replicates (the DeepSTARR protocol); ``paper-lentimpra``: the replicate std as a second column."""


class EnsembleConfig(Config):
    """How many members, and how each is fitted."""

    members: int = Field(default=10, ge=1, description="networks in the ensemble; one gives no epistemic std")
    head: str = Field(
        default="auto",
        description="what members learn (octodon list heads); auto: activity, and the noise of a measurement where every "
        "target has replicates",
    )
    folds: int = Field(
        default=1,
        ge=1,
        description="above 1: member k leaves out fold k modulo folds of the training rows, so that distill.labels = "
        "'out_of_fold' can label each row by members that never saw it",
    )
    training: TrainingConfig = TrainingConfig()
