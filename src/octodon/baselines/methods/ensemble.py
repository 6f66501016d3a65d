"""The ensemble itself: what a student is distilled from, and the most that it can keep."""

from __future__ import annotations

from typing import final

from pydantic import Field

from octodon.baselines.methods import baselines
from octodon.baselines.methods._base import Baseline, Train
from octodon.data.examples import Examples
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.member_labels import check_member_head, resolve_head
from octodon.models.model import ModelConfig


@final
@baselines.register("ensemble")
class DeepEnsemble(Baseline):
    """Several networks, their disagreement as the epistemic std (Lakshminarayanan et al. 2017)."""

    members: int | None = Field(default=None, ge=2, description="networks; default as [ensemble] says, or 10")
    head: str | None = Field(
        default=None, description="what they learn (octodon list heads); default: as [ensemble] says"
    )

    def check(self, data: Examples, model: ModelConfig) -> None:
        """Refuse a head that cannot learn from these data."""
        check_member_head(resolve_head(self.head or model.head, data), data, "head")

    def fit(self, data: Examples, train: Train) -> Ensemble:
        """Return the ensemble that ``octodon.train`` returns."""
        del data
        return train(members=self.members, head=self.head, training={})
