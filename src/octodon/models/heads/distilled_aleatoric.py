"""The default student of an ensemble that knows the noise: activity, epistemic and aleatoric std."""

from __future__ import annotations

from octodon.models.heads import heads
from octodon.models.heads._std_columns import StdColumnsHead


@heads.register("distilled_aleatoric")
class DistilledAleatoricHead(StdColumnsHead):
    """As ``distilled``, with the noise of one measurement as a third column."""

    n_raw = 3
    needs = ("activity", "epistemic_std", "aleatoric_std")
    gives = ("epistemic_std", "aleatoric_std")
