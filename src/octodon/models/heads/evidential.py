"""Evidential regression: one network that predicts a Normal-Inverse-Gamma distribution of activity and noise."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from octodon.models.heads import heads
from octodon.models.heads._base import Moments
from octodon.models.heads._measurements import MeasurementsHead
from octodon.models.heads._replicates import bounded_log_ratio

REGULARISER = 0.01
"""Weight of the evidence regulariser, that of the paper's regression benchmarks; errors are in units of the activity's spread."""


@heads.register("evidential")
class EvidentialHead(MeasurementsHead):
    """Mean ~ N(gamma, sigma^2 / nu), sigma^2 ~ Inverse-Gamma(alpha, beta) (Amini et al. 2020), four columns a target.

    Integrated over both, a measurement has Student's t distribution with 2 alpha degrees of freedom around gamma and the
    squared scale beta (1 + nu) / (nu alpha); its negative log-likelihood, eq. 8, is the loss, plus ``REGULARISER`` times
    the evidence regulariser |y - gamma| (2 nu + alpha), eq. 9. Read out, eq. 5:

        aleatoric variance  E[sigma^2]  = beta / (alpha - 1)
        epistemic variance  Var[mean]   = beta / (nu (alpha - 1))

    nu, alpha - 1 and beta are exponentials of smoothly bounded columns: alpha stays above 1, and nothing is divided by 0.
    The likelihood sees only the sum of the two variances: how it is split rests on the regulariser and the start of the
    training (Meinert et al. 2023). A baseline to compare with, no measure of what the network does not know off its data.
    """

    n_raw = 4
    gives = ("epistemic_std", "aleatoric_std")
    unidentified = ("epistemic_std", "aleatoric_std")

    def term(self, raw: Float[Tensor, "n r t"], error: Float[Tensor, "n t k"]) -> Float[Tensor, "n t k"]:
        """Return the negative log-likelihood with its regulariser, in units of the activity's spread."""
        log_nu, log_excess, log_beta = (
            bounded_log_ratio(raw[:, column]).unsqueeze(2) for column in (1, 2, 3)
        )
        nu, alpha = log_nu.exp(), 1 + log_excess.exp()
        likelihood = nig_nll(error, log_nu, alpha, log_beta)
        return likelihood + REGULARISER * error.abs() * (2 * nu + alpha)

    def read(self, raw: Float[Tensor, "n r t"]) -> Moments:
        """Return the activity and both stds, those of one measurement, in the units of the labels."""
        log_nu, log_excess, log_beta = (bounded_log_ratio(raw[:, column]) for column in (1, 2, 3))
        scale = self.get_buffer("activity_scale")
        return Moments(
            mean=self.unscale("activity", raw[:, 0]),
            epistemic_std=scale * torch.exp((log_beta - log_excess - log_nu) / 2),
            aleatoric_std=scale * torch.exp((log_beta - log_excess) / 2),
        )


def nig_nll(error: Tensor, log_nu: Tensor, alpha: Tensor, log_beta: Tensor) -> Tensor:
    """Return the negative log density of Student's t, eq. 8 of Amini et al. 2020 with equal terms gathered.

    With omega = 2 beta (1 + nu): log(pi / nu) / 2 - alpha log omega + (alpha + 1/2) log(nu error^2 + omega)
    + log Gamma(alpha) - log Gamma(alpha + 1/2). Written with log(1 + nu error^2 / omega), no two large terms cancel.
    """
    # log((1 + nu) / nu), which is exact for large nu, too
    log_spread = F.softplus(-log_nu)
    tail = torch.log1p(error.square() * torch.exp(-log_beta - log_spread) / 2)
    scale = (math.log(2 * math.pi) + log_beta + log_spread) / 2
    return scale + (alpha + 0.5) * tail + torch.lgamma(alpha) - torch.lgamma(alpha + 0.5)
