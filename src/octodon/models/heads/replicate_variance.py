"""A teacher where there are replicates: squared error for the activity, a likelihood for the sample variance."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from octodon.models.heads import heads
from octodon.models.heads._base import Labels, Moments, refuse_other_shape
from octodon.models.heads._replicates import bounded_log_ratio, degrees_and_variance, pooled_variance
from octodon.models.heads._standardised import StandardisedHead


@heads.register("replicate_variance")
class ReplicateVarianceHead(StandardisedHead):
    """Activity by standardised squared error, the noise by the scaled chi-square likelihood of the sample variance.

    For normal noise of variance sigma^2, d s^2 / sigma^2 has a chi-square distribution with d = replicates - 1 degrees
    of freedom, whatever the true activity is. Its negative log-likelihood, without what no column can change, is

        d / 2 * (s^2 / sigma^2 + log sigma^2)

    It weighs a row by what its replicates can tell, is smallest at the true variance (squared error on s is not), needs
    no log of s, which may be 0, and what the network does not know about the ACTIVITY never enters the noise (in the
    Gaussian likelihood of the replicates it does). sigma^2 = average variance * exp(column), so it is above 0.

    The noise is read from the features of the activity without shaping them, and the activity alone decides on the best
    epoch: stds of three replicates scatter so much that learning them jointly costs activity (promoter MPRA, one member,
    test Pearson .62 / .62 as for the activity alone, against .58 / .57).
    """

    n_raw = 2
    needs = ("activity", "replicates")
    judged_by = ("activity",)
    gives = ("aleatoric_std",)
    standardises = ("activity",)

    def __init__(self, n_features: int, n_targets: int) -> None:
        super().__init__(n_features, n_targets)
        self.register_buffer("noise_variance", torch.ones(n_targets))
        self.register_buffer("mean_degrees", torch.ones(n_targets))

    def fit_scale(self, labels: Labels) -> None:
        """Store the scale of the activity, the average noise variance and the average degrees of freedom."""
        super().fit_scale(labels)
        degrees, _ = degrees_and_variance(labels["replicates"])
        known = (degrees > 0).sum(0).clamp(min=1)
        self.get_buffer("noise_variance").copy_(pooled_variance(labels["replicates"]))
        self.get_buffer("mean_degrees").copy_((degrees.sum(0) / known).clamp(min=1))

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n r t"]:
        """Return the raw columns; the gradient of the noise ends here."""
        return torch.stack([super().forward(features)[:, 0], super().forward(features.detach())[:, 1]], dim=1)

    def loss(self, raw: Float[Tensor, "n r t"], labels: Labels) -> Float[Tensor, "n t"]:
        """Return half the standardised squared error plus the negative log-likelihood a mean degree of freedom."""
        refuse_other_shape(raw[:, 1], labels["replicates"], n_dims=3)
        degrees, variance = degrees_and_variance(labels["replicates"])
        log_ratio = bounded_log_ratio(raw[:, 1])
        deviance = variance / self.get_buffer("noise_variance") * torch.exp(-log_ratio) + log_ratio
        noise = degrees / self.get_buffer("mean_degrees") * deviance
        return (self.column_loss("activity", self.unscale("activity", raw[:, 0]), labels) + noise) / 2

    def read(self, raw: Float[Tensor, "n r t"]) -> Moments:
        """Return the activity and the noise std of one measurement, in the units of the labels."""
        variance = self.get_buffer("noise_variance") * torch.exp(bounded_log_ratio(raw[:, 1]))
        return Moments(mean=self.unscale("activity", raw[:, 0]), aleatoric_std=variance.sqrt())
