"""A teacher that learns stds shrunk towards their trend with activity, as limma does (empirical Bayes)."""

from __future__ import annotations

from octodon.models.heads import heads
from octodon.models.heads._std_columns import StdColumnsHead


@heads.register("shrunken_aleatoric")
class ShrunkenAleatoricHead(StdColumnsHead):
    """Standardised squared errors of activity and of the moderated std of Smyth (2004); see ``octodon.data.noise``.

    The labels scatter less than raw stds, but are pulled towards what activity alone explains.
    """

    n_raw = 2
    needs = ("activity", "shrunken_std")
    gives = ("aleatoric_std",)
