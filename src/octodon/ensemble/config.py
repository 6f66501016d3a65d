"""How an ensemble is made."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, field_validator

from octodon.settings import Config
from octodon.training.batches import batch_slices
from octodon.training.config import TrainingConfig

_PUBLISHED_TRAINING: dict[str, Any] = {
    "schedule": "plateau",
    "epochs": 100,
    "optimiser": "adam",
    "learning_rate": 1e-3,
    "augment": (),
    "norm_momentum": "backbone",
    "patience_steps": 0,
}

ENSEMBLE_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {"head": "mean", "training": _PUBLISHED_TRAINING},
    "paper-lentimpra": {"head": "paper_aleatoric", "training": _PUBLISHED_TRAINING},
}
"""What a preset changes in ``EnsembleConfig``. ``paper``: plain MSE on the measured values, the published patience, no noise
even where there are replicates (the DeepSTARR protocol); ``paper-lentimpra``: the replicate std as a second column."""


FEWEST_STEPS = 1000
"""A table of 1,000 sequences has 8 steps an epoch, and 30 epochs of them leave a network nearly as it was drawn."""
_EPOCHS, _MOST_EPOCHS, _MOST_PLATEAU_EPOCHS = 30, 60, 100


class MemberTraining(TrainingConfig):
    """As for any network, but no batch is seen twice: a few bases of shift, and a short schedule that runs to its end.

    By how much it is better than the published way: benchmarks/results/members.md.
    """

    epochs: int = Field(
        default=0,
        ge=0,
        description=f"0: {_EPOCHS}, of a small table as many as make {FEWEST_STEPS:,} steps, {_MOST_EPOCHS} at most "
        f"(plateau: at most {_MOST_PLATEAU_EPOCHS})",
    )
    optimiser: Literal["adam", "muon"] = Field(
        default="muon",
        description="adam, or muon: the matrices of the backbone move along orthogonalised momentum, the rest by Adam",
    )
    learning_rate: float = Field(
        default=3e-3, gt=0, description="peak; 1e-3 is the usual one of Adam on a plateau"
    )
    schedule: Literal["plateau", "cosine"] = Field(
        default="cosine",
        description="cosine: short warm-up, then to zero; plateau: decay when validation stalls, stop early",
    )
    augment: tuple[dict[str, Any], ...] = Field(
        default=({"name": "shift"},),
        description="alterations of every training batch that leave the label as it is, each with an optional probability; "
        "default: a circular shift by up to 7 % of the length to either side. See octodon list augmentations",
    )


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
        "'out_of_fold' can label each row by members that never saw it; related rows, and groups that the split kept together, "
        "share a fold",
    )
    training: MemberTraining = MemberTraining()

    def training_of(self, n_rows: int) -> TrainingConfig:
        """Return how members of ``n_rows`` training sequences are fitted, the number of epochs spelled out."""
        found = self.training.model_dump()
        if self.training.epochs == 0:
            n_seen = n_rows if self.folds == 1 else n_rows - n_rows // self.folds
            steps_per_epoch = max(1, len(batch_slices(n_seen, self.training.batch_size)))
            wanted = max(_EPOCHS, math.ceil(FEWEST_STEPS / steps_per_epoch))
            is_plateau = self.training.schedule == "plateau"
            found["epochs"] = _MOST_PLATEAU_EPOCHS if is_plateau else min(wanted, _MOST_EPOCHS)
        return TrainingConfig(**found)

    @field_validator("training", mode="before")
    @classmethod
    def _as_plain_values(cls, training: Any) -> Any:
        # every value of a TrainingConfig is meant, its defaults too
        is_other = isinstance(training, TrainingConfig) and not isinstance(training, MemberTraining)
        return training.model_dump() if is_other else training
