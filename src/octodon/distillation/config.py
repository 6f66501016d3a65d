"""How students are made."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from octodon.distillation.copies import DEFAULT_RECIPES
from octodon.settings import Config
from octodon.training.config import TrainingConfig

DISTILL_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "head": "distilled_linear",
        "copies": 0,
        "training": {
            "schedule": "plateau",
            "epochs": 100,
            "decay_factor": 0.2,
            "norm_momentum": "backbone",
            "patience_steps": 0,
        },
    },
}
"""What a preset changes in ``DistillConfig``. ``paper``: a linear std, no copies, the members' schedule."""


class StudentTraining(TrainingConfig):
    """As for members, but function matching: many labelled inputs and a schedule that runs to its end (Beyer et al. 2022)."""

    epochs: int = Field(default=10, ge=1, description="epochs")
    schedule: Literal["plateau", "cosine"] = Field(default="cosine", description="as for members")


class DistillConfig(Config):
    """How students are made."""

    students: int = Field(default=1, ge=1, description="students; more than one gives error bars")
    head: str = Field(default="distilled", description="see octodon list heads")
    copies: int = Field(
        default=8, ge=0, description="altered copies of each training sequence that the members label"
    )
    recipes: tuple[tuple[dict[str, Any], ...], ...] = Field(
        default=DEFAULT_RECIPES,
        min_length=1,
        description="how copies are altered; copy k takes recipe k, cycling",
    )
    training: StudentTraining = StudentTraining()
