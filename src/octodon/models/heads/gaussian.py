"""A heteroscedastic network: activity and noise by the Gaussian likelihood of every single measurement."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from octodon.models.heads import heads
from octodon.models.heads._base import Moments
from octodon.models.heads._measurements import MeasurementsHead
from octodon.models.heads._replicates import bounded_log_ratio


@heads.register("gaussian")
class GaussianHead(MeasurementsHead):
    """Each measurement is drawn from N(activity, sigma^2) (Nix and Weigend 1994); one value a row is enough.

    sigma^2 = variance of the activity * exp(column), so it is above 0, and a fresh network says what is true without a
    sequence. With one value a row nothing tells noise from what the network does not know: sigma is the std of the
    residual. Where there are replicates, ``gaussian_replicates`` also knows their standard errors.
    """

    n_raw = 2
    gives = ("aleatoric_std",)

    def term(self, raw: Float[Tensor, "n r t"], error: Float[Tensor, "n t k"]) -> Float[Tensor, "n t k"]:
        """Return the negative log-likelihood without its constant."""
        log_variance = bounded_log_ratio(raw[:, 1]).unsqueeze(2)
        return (error.square() * torch.exp(-log_variance) + log_variance) / 2

    def read(self, raw: Float[Tensor, "n r t"]) -> Moments:
        """Return the activity and the noise std of one measurement, in the units of the labels."""
        scale = self.get_buffer("activity_scale")
        return Moments(
            mean=self.unscale("activity", raw[:, 0]),
            aleatoric_std=scale * torch.exp(bounded_log_ratio(raw[:, 1]) / 2),
        )
