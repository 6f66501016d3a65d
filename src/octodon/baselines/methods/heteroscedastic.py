"""A single network that learns activity and noise by a Gaussian likelihood."""

from __future__ import annotations

from typing import final

from octodon.baselines.methods import baselines
from octodon.baselines.methods._base import Baseline, Train
from octodon.data.agreement import require_replicates
from octodon.data.examples import Examples
from octodon.ensemble.ensemble import Ensemble
from octodon.errors import DataError


@final
@baselines.register("heteroscedastic")
class Heteroscedastic(Baseline):
    """One network by the Gaussian likelihood of its measurements (Nix and Weigend 1994): aleatoric std, no epistemic one.

    By that of the replicates where every target has some (head ``gaussian_replicates``), else of the one value a row.
    """

    def fit(self, data: Examples, train: Train) -> Ensemble:
        """Return the network as an ensemble of one."""
        try:
            require_replicates(data.subset("train"))
        except DataError:
            return train(members=1, head="gaussian", training={})
        return train(members=1, head="gaussian_replicates", training={})
