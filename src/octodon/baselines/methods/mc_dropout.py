"""Monte Carlo dropout."""

from __future__ import annotations

from dataclasses import replace
from typing import final

from pydantic import Field

from octodon.baselines.methods import baselines
from octodon.baselines.methods._base import Baseline, Train
from octodon.data.examples import Examples
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.member_labels import check_member_head, resolve_head
from octodon.models.dropout import DropoutPasses, require_dropout
from octodon.models.model import ModelConfig, build_model


@final
@baselines.register("mc_dropout")
class McDropout(Baseline):
    """One network trained and asked with dropout on: the spread of its passes is the epistemic std (Gal and Ghahramani 2016).

    Only dropout is on when it answers; BatchNorm keeps its running statistics. The published settings are the defaults.
    """

    rate: float = Field(
        default=0.25, gt=0, lt=1, description="probability of dropping a unit, in every dropout layer"
    )
    passes: int = Field(default=100, ge=2, description="answers for each sequence")
    head: str | None = Field(
        default=None, description="what the network learns (octodon list heads); default: as [ensemble] says"
    )

    def check(self, data: Examples, model: ModelConfig) -> None:
        """Refuse a backbone without dropout, or a head that cannot learn from these data."""
        require_dropout(build_model(model, seed=0))
        check_member_head(resolve_head(self.head or model.head, data), data, "head")

    def fit(self, data: Examples, train: Train) -> Ensemble:
        """Return the network as an ensemble of one whose passes count as members."""
        self.check(data, train.model)
        network = train(members=1, head=self.head, training={"dropout": self.rate})
        how = DropoutPasses(rate=self.rate, passes=self.passes, seed=network.members[0].seed)
        return replace(network, dropout=how)
