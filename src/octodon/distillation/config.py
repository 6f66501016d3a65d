"""How students are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from octodon.distillation.copies import DEFAULT_RECIPES, default_copies
from octodon.errors import ConfigError
from octodon.settings import Config
from octodon.training.augment import check_recipe
from octodon.training.config import TrainingConfig

_PUBLISHED: dict[str, Any] = {
    "copies": 0,
    "effects": False,
    "training": {
        "schedule": "plateau",
        "epochs": 100,
        "optimiser": "adam",
        "learning_rate": 1e-3,
        "decay_factor": 0.2,
        "augment": (),
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


PASSES = 75
"""Passes per training sequence, its copies counted: 24 copies three times, or the sequences alone 75 times."""
_FEW_COPIES = 4


class StudentTraining(TrainingConfig):
    """As for members, but function matching: many labelled inputs and a schedule that runs to its end (Beyer et al. 2022)."""

    epochs: int = Field(
        default=0,
        ge=0,
        description=f"0: as many as make {PASSES} passes per training sequence, copies counted",
    )
    optimiser: Literal["adam", "muon"] = Field(
        default="muon",
        description="as for members; muon needs a fraction of the passes to match a function without noise",
    )
    learning_rate: float = Field(
        default=6e-3, gt=0, description="peak; labels without noise allow large steps"
    )
    augment: tuple[dict[str, Any], ...] = Field(
        default=({"name": "shift"},),
        description="alterations of every training batch that leave the label as it is; default: shifts, as for members. With "
        "dynamic the members label what these make, and they have to be given",
    )
    schedule: Literal["plateau", "cosine"] = Field(default="cosine", description="as for members")
    dropout: float | Literal["auto", "backbone"] = Field(
        default="auto",
        description="probability of every dropout layer, or 'backbone'; auto: 0, since a student matches a function and "
        "labels without noise need no regulariser, but 'backbone' where it has fewer than 4 copies of few sequences",
    )


class DistillConfig(Config):
    """How students are made."""

    students: int = Field(default=1, ge=1, description="students; more than one gives error bars")
    head: str = Field(
        default="auto",
        description="what students learn (octodon list heads); auto: activity and epistemic std, and the aleatoric std "
        "where the members give it",
    )
    copies: int | None = Field(
        default=None,
        ge=0,
        description="altered copies of each training sequence that the members label; default 24, up to 128 of few rows, "
        "fewer of more than 100,000",
    )
    recipes: tuple[tuple[dict[str, Any], ...], ...] = Field(
        default=DEFAULT_RECIPES,
        min_length=1,
        description="how copies are altered; copy k takes recipe k, cycling",
    )
    labels: Literal["auto", "in_sample", "augmented", "out_of_fold"] = Field(
        default="auto",
        description="training sequences themselves: in_sample = labelled by all members, which know them by heart; "
        "augmented = left out (only altered copies, which no member was fitted to); out_of_fold = labelled by the members "
        "that left them out (ensemble.folds); auto: augmented from 4 copies on, else in_sample",
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
        "originals or behind them, labelled by the members as they come. The published alterations: augment = [{name='evoaug'}], "
        "[{name='mutation'}] or [{name='shuffle'}]; their fine-tuning is here the end of one schedule (cosine, augment_until), where the "
        "published code starts its optimiser anew",
    )
    effects: bool = Field(
        default=True,
        description="learn the std of the difference of two sequences, too (for variants): the members label pairs",
    )
    training: StudentTraining = StudentTraining()

    def copies_of(self, n_rows: int) -> int:
        """Return how many altered copies of ``n_rows`` training sequences are labelled."""
        return default_copies(n_rows) if self.copies is None else self.copies

    def labels_of(self, n_rows: int) -> Literal["in_sample", "augmented", "out_of_fold"]:
        """Return who labels ``n_rows`` training sequences, nothing left automatic."""
        if self.labels != "auto":
            return self.labels
        return "augmented" if self.copies_of(n_rows) >= _FEW_COPIES else "in_sample"

    def training_of(self, n_rows: int) -> TrainingConfig:
        """Return how students of ``n_rows`` training sequences are fitted, nothing left automatic."""
        copies = self.copies_of(n_rows)
        found: dict[str, Any] = {}
        if self.training.epochs == 0:
            kept = self.labels_of(n_rows) != "augmented"
            found["epochs"] = max(1, round(PASSES / max(1, kept + copies)))
        if self.training.dropout == "auto":
            is_varied = copies >= _FEW_COPIES or self.dynamic != "none"
            found["dropout"] = 0.0 if is_varied else "backbone"
        return TrainingConfig(**(self.training.model_dump() | found))

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
        if self.labels == "augmented" and self.copies == 0 and self.pool is None:
            raise ValueError(
                "labels = 'augmented' leaves the training sequences out; it needs copies, or a pool"
            )
        is_given = "augment" in self.training.model_fields_set
        if self.dynamic != "none" and not (is_given and self.training.augment):
            raise ValueError(
                "dynamic needs training.augment, e.g. [{name = 'evoaug'}]: which alterations are labelled"
            )
        if self.dynamic != "none" and self.training.schedule == "plateau":
            raise ValueError(
                "dynamic with training.schedule = 'plateau' has no fine-tuning on the sequences as they are, the published "
                "second phase; set training.schedule = 'cosine' and training.augment_until = 0.5"
            )
        return self
