"""How one network is fitted."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from octodon.errors import ConfigError
from octodon.models.precision import Precision
from octodon.settings import Config
from octodon.training.augment import check_recipe


class TrainingConfig(Config):
    """An optimiser on batches, with a schedule for the learning rate; the weights of the best validation epoch are kept."""

    epochs: int = Field(default=100, ge=1, description="most epochs")
    batch_size: int = Field(default=128, ge=2, description="sequences per step")
    optimiser: Literal["adam", "muon"] = Field(
        default="adam",
        description="adam, or muon: the matrices of the backbone move along orthogonalised momentum, the rest by Adam",
    )
    learning_rate: float = Field(
        default=1e-3, gt=0, description="at the start (plateau) or the peak (cosine)"
    )
    schedule: Literal["plateau", "cosine"] = Field(
        default="plateau",
        description="plateau: decay when validation stalls, stop early; cosine: short warm-up, then cosine to zero",
    )
    stop_patience: int = Field(
        default=10, ge=1, description="plateau: epochs without improvement before stopping"
    )
    decay_patience: int = Field(
        default=5, ge=1, description="plateau: epochs without improvement before a decay"
    )
    patience_steps: int = Field(
        default=200,
        ge=0,
        description="plateau: patience to stop lasts at least this many steps, to decay half as many; a table of 1,000 "
        "sequences has 8 steps an epoch, and ten epochs say nothing yet. 0: as published, epochs alone",
    )
    decay_factor: float = Field(default=0.1, gt=0, lt=1, description="plateau: factor of a decay")
    min_learning_rate: float = Field(default=1e-7, ge=0, description="plateau: floor of the learning rate")
    norm_momentum: float | Literal["backbone"] = Field(
        default=0.1,
        description="share of a batch in BatchNorm's running statistics, or 'backbone' for the backbone's own. The "
        "published 0.01 lags 100 steps behind: on small sets early stopping then ends some members in their first epoch",
    )
    precision: Precision = Field(
        default="auto",
        description="numbers that products are computed in: float32, bfloat16, or auto = bfloat16 where the processor "
        "multiplies it natively, else float32; weights, losses and predictions are float32 always",
    )
    checkpoint_seconds: float = Field(
        default=10.0,
        ge=0,
        description="least time between two checkpoints of a network, written at the end of an epoch; 0: every epoch",
    )
    dropout: float | Literal["auto", "backbone"] = Field(
        default="auto",
        description="probability of every dropout layer while this trains, or 'backbone' for the backbone's own; auto: that "
        "of the backbone for members, see distill.training for students",
    )
    weight_decay: float = Field(default=0.0, ge=0, description="decoupled weight decay (AdamW) when above 0")

    @field_validator("norm_momentum", mode="before")
    @classmethod
    def _share_or_backbone(cls, value: Any) -> Any:
        # Checked before pydantic does: of a union it would report one problem for each side.
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value != "backbone" and not (is_number and 0 < value <= 1):
            raise ValueError("expected a number above 0 and up to 1, or 'backbone'")
        return value

    augment: tuple[dict[str, Any], ...] = Field(
        default=(),
        description="alterations of every training batch, e.g. [{name='shift', most_bp=20}], each with an optional "
        "probability (share of the sequences); see octodon list augmentations",
    )
    augment_until: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="cosine: share of the epochs with alterations; the rest is fine-tuned without, at a small rate",
    )

    @field_validator("dropout", mode="before")
    @classmethod
    def _probability_or_backbone(cls, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value not in ("auto", "backbone") and not (is_number and 0 <= value < 1):
            raise ValueError("expected a number from 0 to below 1, 'backbone' or 'auto'")
        return value

    @field_validator("augment")
    @classmethod
    def _can_be_followed(cls, recipe: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        try:
            check_recipe(recipe)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return recipe

    @model_validator(mode="after")
    def _phases_are_planned(self) -> TrainingConfig:
        if self.augment_until < 1 and self.schedule == "plateau":
            raise ValueError("augment_until needs schedule = 'cosine': a plateau may end before it")
        return self

    def recipe_of(self, epoch: int) -> tuple[dict[str, Any], ...]:
        """Return the alterations of one epoch (from 0)."""
        return self.augment if epoch < self.augment_until * self.epochs else ()
