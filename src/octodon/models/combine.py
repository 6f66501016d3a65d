"""What several networks say together, as torch operations: differentiable, and fit for a graph."""

from __future__ import annotations

import torch

from octodon.models.heads import Moments

LEAST_VARIANCE = 1e-20
"""Networks that agree exactly have variance 0, where a root has no derivative; this floor makes it 0."""


def combine(moments: list[Moments]) -> Moments:
    """Return the moments of an ensemble by the law of total variance; of one network its own.

    As ``MemberPredictions.combine``: epistemic variance = population variance of the means (``correction=0``) plus the mean
    of what members say of themselves, aleatoric variance = mean of the variances.
    """
    if len(moments) == 1:
        return moments[0]
    means = torch.stack([m.mean for m in moments])
    stds = [m.aleatoric_std for m in moments if m.aleatoric_std is not None]
    own = [m.epistemic_std.square() for m in moments if m.epistemic_std is not None]
    centre = means.mean(0)
    epistemic = (means - centre).square().mean(0) + (torch.stack(own).mean(0) if own else 0.0)
    return Moments(
        mean=centre,
        epistemic_std=epistemic.clamp(min=LEAST_VARIANCE).sqrt(),
        aleatoric_std=torch.stack(stds).square().mean(0).sqrt() if stds else None,
    )
