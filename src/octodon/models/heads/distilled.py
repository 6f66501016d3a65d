"""The default student: activity and epistemic std, the std positive by construction, columns standardised."""

from __future__ import annotations

from octodon.models.heads import heads
from octodon.models.heads._std_columns import StdColumnsHead


@heads.register("distilled")
class DistilledHead(StdColumnsHead):
    """Squared errors of activity and epistemic std, each in units of the variance of its own training labels."""

    n_raw = 2
    needs = ("activity", "epistemic_std")
    gives = ("epistemic_std",)
