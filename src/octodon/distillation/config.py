"""How students are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from octodon.distillation.copies import DEFAULT_RECIPES
from octodon.errors import ConfigError
from octodon.settings import Config
from octodon.training.augment import check_recipe
from octodon.training.config import TrainingConfig

_PUBLISHED: dict[str, Any] = {
    "copies": 0,
    "training": {
        "schedule": "plateau",
        "epochs": 100,
        "decay_factor": 0.2,
        "norm_momentum": "backbone",
        "dropout": "backbone",
        "patience_steps": 0,
    },
}

DISTILL_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {"head": "distilled_linear"} | _PUBLISHED,
    "paper-lentimpra": {"head": "distilled_linear_aleatoric"} | _PUBLISHED,
}
"""What a preset changes in ``DistillConfig``. ``paper``: linear stds, no copies, the members' schedule."""


class StudentTraining(TrainingConfig):
    """As for members, but function matching: many labelled inputs and a schedule that runs to its end (Beyer et al. 2022)."""

    epochs: int = Field(default=10, ge=1, description="epochs")
    schedule: Literal["plateau", "cosine"] = Field(default="cosine", description="as for members")
    dropout: float | Literal["backbone"] = Field(
        default=0.0,
        description="probability of every dropout layer: a student matches a function, and labels without noise need no "
        "regulariser (promoter set, three epochs: epistemic r as after ten with the backbone's own 0.4)",
    )


class DistillConfig(Config):
    """How students are made."""

    students: int = Field(default=1, ge=1, description="students; more than one gives error bars")
    head: str = Field(
        default="auto",
        description="what students learn (octodon list heads); auto: activity and epistemic std, and the aleatoric std "
        "where the members give it",
    )
    copies: int = Field(
        default=8, ge=0, description="altered copies of each training sequence that the members label"
    )
    recipes: tuple[tuple[dict[str, Any], ...], ...] = Field(
        default=DEFAULT_RECIPES,
        min_length=1,
        description="how copies are altered; copy k takes recipe k, cycling",
    )
    labels: Literal["in_sample", "augmented", "out_of_fold"] = Field(
        default="in_sample",
        description="training sequences themselves: labelled by all members, left out (only altered copies, which no member "
        "was fitted to), or labelled by the members that left them out (ensemble.folds)",
    )
    pool: Path | None = Field(
        default=None, description="FASTA of further sequences, without measurements, that the members label"
    )
    pool_lengths: Literal["refuse", "crop"] = Field(
        default="refuse",
        description="pool sequences of another length than the data's: refuse, or keep the centre",
    )
    dynamic: Literal["none", "replace", "append"] = Field(
        default="none",
        description="batches altered by training.augment: none = keep the rows' labels; replace, append = in place of the "
        "originals or behind them, labelled by the members as they come. The published ones: augment = [{name='evoaug'}], "
        "[{name='mutation'}] or [{name='shuffle'}], then fine-tuning (augment_until)",
    )
    training: StudentTraining = StudentTraining()

    @field_validator("recipes")
    @classmethod
    def _can_be_followed(
        cls, recipes: tuple[tuple[dict[str, Any], ...], ...]
    ) -> tuple[tuple[dict[str, Any], ...], ...]:
        try:
            for recipe in recipes:
                check_recipe(recipe, as_codes=True)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return recipes

    @model_validator(mode="after")
    def _something_is_altered(self) -> DistillConfig:
        if self.labels == "augmented" and not self.copies and self.pool is None:
            raise ValueError(
                "labels = 'augmented' leaves the training sequences out; it needs copies, or a pool"
            )
        if self.dynamic != "none" and not self.training.augment:
            raise ValueError(
                "dynamic needs training.augment, e.g. [{name = 'evoaug'}]: which alterations are labelled"
            )
        return self
