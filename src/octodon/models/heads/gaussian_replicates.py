"""A teacher by the Gaussian likelihood of the replicates themselves, with their known standard errors."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from octodon.models.heads import heads
from octodon.models.heads._base import Labels, Moments, refuse_other_shape
from octodon.models.heads._replicates import bounded_log_ratio, known_error, pooled_variance
from octodon.models.heads._standardised import StandardisedHead


@heads.register("gaussian_replicates")
class GaussianReplicatesHead(StandardisedHead):
    """Replicate j of a row is drawn from N(activity, sigma^2 + se_j^2), se_j its known standard error (0 if unknown).

    Rows may have unequal numbers of replicates; missing ones are left out (Nix and Weigend 1994 for the likelihood).
    sigma^2 = average variance * exp(column), so it is above 0. ``aleatoric_std`` is that of one measurement whose known
    error is the average one of training: sqrt(sigma^2 + mean se^2). What the network does not know about the activity
    counts as noise here: where it fits badly, the noise comes out too large.
    """

    n_raw = 2
    needs = ("activity", "replicates", "replicate_se")
    auxiliary = ("activity", "replicate_se")
    gives = ("aleatoric_std",)
    standardises = ("activity",)

    def __init__(self, n_features: int, n_targets: int) -> None:
        super().__init__(n_features, n_targets)
        self.register_buffer("noise_variance", torch.ones(n_targets))
        self.register_buffer("known_variance", torch.zeros(n_targets))
        self.register_buffer("mean_replicates", torch.ones(n_targets))

    def fit_scale(self, labels: Labels) -> None:
        """Store the scale of the activity, the average noise and the average known variance of training replicates."""
        super().fit_scale(labels)
        present = torch.isfinite(labels["replicates"])
        count = present.sum(2)
        error = torch.where(present, known_error(labels["replicate_se"]), 0.0)
        known = error.square().sum((0, 2)) / count.sum(0).clamp(min=1)
        self.get_buffer("noise_variance").copy_(pooled_variance(labels["replicates"]))
        self.get_buffer("known_variance").copy_(known)
        self.get_buffer("mean_replicates").copy_(count.sum(0) / (count > 0).sum(0).clamp(min=1))

    def loss(self, raw: Float[Tensor, "n r t"], labels: Labels) -> Float[Tensor, "n t"]:
        """Return the negative log-likelihood of a row's replicates, divided by their average number."""
        replicates, error = labels["replicates"], labels["replicate_se"]
        for label in (replicates, error):
            refuse_other_shape(raw[:, 0], label, n_dims=3)
        present = torch.isfinite(replicates)
        scale = self.get_buffer("noise_variance").unsqueeze(1)
        known = known_error(error).square() / scale
        variance = torch.exp(bounded_log_ratio(raw[:, 1])).unsqueeze(2) + known
        mean = self.unscale("activity", raw[:, 0]).unsqueeze(2)
        residual = torch.where(present, torch.where(present, replicates, 0.0) - mean, 0.0)
        terms = torch.where(present, residual.square() / scale / variance + variance.log(), 0.0)
        return terms.sum(2) / (2 * self.get_buffer("mean_replicates").clamp(min=1))

    def read(self, raw: Float[Tensor, "n r t"]) -> Moments:
        """Return the activity and the noise std of one measurement, in the units of the labels."""
        variance = self.get_buffer("noise_variance") * torch.exp(bounded_log_ratio(raw[:, 1]))
        return Moments(
            mean=self.unscale("activity", raw[:, 0]),
            aleatoric_std=(variance + self.get_buffer("known_variance")).sqrt(),
        )
