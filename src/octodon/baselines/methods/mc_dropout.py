"""Monte Carlo dropout."""

from __future__ import annotations

from dataclasses import replace
from typing import final

from pydantic import Field

from octodon.baselines.methods import baselines
from octodon.baselines.methods._base import Baseline, Train
from octodon.data.examples import Examples
from octodon.ensemble.ensemble import Ensemble
from octodon.models.dropout import DropoutPasses, require_dropout
from octodon.models.model import build_model


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
    head: str = Field(default="auto", description="what the network learns; see octodon list heads")

    def fit(self, data: Examples, train: Train) -> Ensemble:
        """Return the network as an ensemble of one whose passes count as members."""
        del data
        require_dropout(build_model(train.model, seed=0))
        network = train(members=1, head=self.head, training={"dropout": self.rate})
        how = DropoutPasses(rate=self.rate, passes=self.passes, seed=network.members[0].seed)
        return replace(network, dropout=how)
