"""Deep evidential regression."""

from __future__ import annotations

from typing import final

from octodon.baselines.methods import baselines
from octodon.baselines.methods._base import Baseline, Train
from octodon.data.examples import Examples
from octodon.ensemble.ensemble import Ensemble


@final
@baselines.register("evidential")
class Evidential(Baseline):
    """One network that predicts a Normal-Inverse-Gamma distribution: both stds in one pass (Amini et al. 2020)."""

    def fit(self, data: Examples, train: Train) -> Ensemble:
        """Return the network as an ensemble of one."""
        del data
        return train(members=1, head="evidential", training={})
