"""A student that learns the natural log of the epistemic variance, the released class's default target."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from octodon.models.heads import heads
from octodon.models.heads._base import Labels, Moments
from octodon.models.heads._standardised import StandardisedHead

_FLOOR_STD = 1e-6
"""Members that agree exactly have variance 0 and log variance -inf; this floor is far below any real std."""
_LOGVAR_BOUND = 30.0
"""Read-out bound of the log variance: exp(+-15) as std, beyond any assay, and finite in float32."""


@heads.register("distilled_log_variance")
class DistilledLogVarianceHead(StandardisedHead):
    """Activity and ln(epistemic variance), both standardised; the std is exp(half of it), positive by construction."""

    n_raw = 2
    needs = ("activity", "epistemic_std")
    gives = ("epistemic_std",)

    def transform(self, name: str, label: Tensor) -> Tensor:
        """Return ln(std^2) for the std (floored at 1e-6), the activity unchanged."""
        return 2 * label.clamp(min=_FLOOR_STD).log() if name == "epistemic_std" else label

    def loss(self, raw: Float[Tensor, "n r t"], labels: Labels) -> Float[Tensor, "n t"]:
        """Return the mean of the two standardised squared errors."""
        activity = self.column_loss("activity", self.unscale("activity", raw[:, 0]), labels)
        logvar = self.column_loss("epistemic_std", self.unscale("epistemic_std", raw[:, 1]), labels)
        return (activity + logvar) / 2

    def read(self, raw: Float[Tensor, "n r t"]) -> Moments:
        """Return activity and epistemic std in the units of the labels."""
        logvar = self.unscale("epistemic_std", raw[:, 1]).clamp(-_LOGVAR_BOUND, _LOGVAR_BOUND)
        return Moments(mean=self.unscale("activity", raw[:, 0]), epistemic_std=torch.exp(0.5 * logvar))
