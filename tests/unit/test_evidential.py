"""Evidential regression against Student's t of scipy, and its read-out against draws from the distribution that it states."""

import numpy as np
import pytest
import torch
from scipy import stats

from octodon.models.heads import heads
from octodon.models.heads.evidential import REGULARISER, EvidentialHead, nig_nll

GRID = [
    (nu, alpha, beta)
    for nu in (1e-3, 0.5, 40.0)
    for alpha in (1.001, 2.0, 60.0)
    for beta in (1e-2, 1.0, 50.0)
]


def _head(location: float = 0.0, scale: float = 1.0) -> EvidentialHead:
    head = heads["evidential"](3, 1).double()
    assert isinstance(head, EvidentialHead)
    head.get_buffer("activity_location").fill_(location)
    head.get_buffer("activity_scale").fill_(scale)
    return head


def _raw(gamma: float, nu: float, alpha: float, beta: float) -> torch.Tensor:
    """Return the columns that are read as these parameters: the inverse of the smooth bound, 8 tanh(raw / 8)."""
    logs = torch.tensor([nu, alpha - 1, beta], dtype=torch.float64).log()
    columns = 8 * torch.atanh(logs / 8)
    return torch.cat([torch.tensor([gamma], dtype=torch.float64), columns]).reshape(1, 4, 1)


@pytest.mark.parametrize(("nu", "alpha", "beta"), GRID)
def test_the_likelihood_is_that_of_students_t(nu: float, alpha: float, beta: float) -> None:
    error = torch.tensor([-30.0, -1.0, 0.0, 1e-3, 2.0, 400.0], dtype=torch.float64)
    as_tensors = [torch.tensor(value, dtype=torch.float64) for value in (nu, alpha, beta)]
    got = nig_nll(error, as_tensors[0].log(), as_tensors[1], as_tensors[2].log())
    scale = np.sqrt(beta * (1 + nu) / (nu * alpha))
    np.testing.assert_allclose(got, -stats.t.logpdf(error, df=2 * alpha, scale=scale), rtol=1e-9)


def test_the_loss_is_the_mean_over_measurements_with_the_regulariser_in_units_of_the_activitys_spread() -> (
    None
):
    nu, alpha, beta, location, spread = 0.7, 3.0, 1.5, 4.0, 2.0
    measured = np.array([3.0, 5.5, np.nan])
    labels = {
        "activity": torch.tensor([[4.25]]).double(),
        "measurements": torch.tensor(measured).reshape(1, 1, 3),
    }
    head = _head(location, spread)
    head.get_buffer("mean_measurements").fill_(2.0)
    got = float(head.loss(_raw(0.1, nu, alpha, beta), labels).detach())
    errors = (measured[:2] - location) / spread - 0.1
    terms = -stats.t.logpdf(errors, df=2 * alpha, scale=np.sqrt(beta * (1 + nu) / (nu * alpha)))
    terms += REGULARISER * np.abs(errors) * (2 * nu + alpha)
    assert got == pytest.approx(terms.sum() / 2, rel=1e-9)


@pytest.mark.parametrize(("nu", "alpha", "beta"), [(0.5, 5.0, 2.0), (10.0, 12.0, 0.3)])
def test_read_out_are_the_moments_of_the_stated_distribution(nu: float, alpha: float, beta: float) -> None:
    rng = np.random.default_rng(0)
    variance = stats.invgamma(alpha, scale=beta).rvs(400_000, random_state=rng)
    mean = 0.3 + np.sqrt(variance / nu) * rng.standard_normal(len(variance))
    measured = mean + np.sqrt(variance) * rng.standard_normal(len(variance))
    moments = _head(location=1.0, scale=2.0).read(_raw(0.3, nu, alpha, beta))
    assert moments.epistemic_std is not None
    assert moments.aleatoric_std is not None
    assert float(moments.mean) == pytest.approx(1 + 2 * mean.mean(), abs=0.02)
    assert float(moments.aleatoric_std) == pytest.approx(2 * np.sqrt(variance.mean()), rel=0.01)
    assert float(moments.epistemic_std) == pytest.approx(2 * mean.std(), rel=0.01)
    total = torch.hypot(moments.epistemic_std, moments.aleatoric_std)
    assert float(total) == pytest.approx(2 * measured.std(), rel=0.01)


def test_with_much_evidence_it_is_a_gaussian_without_epistemic_std() -> None:
    # nu, alpha -> infinity at beta / (alpha - 1) = 0.25
    error = torch.linspace(-2, 2, 9, dtype=torch.float64)
    log_nu, alpha = torch.tensor(18.0, dtype=torch.float64), torch.tensor(1e7, dtype=torch.float64)
    got = nig_nll(error, log_nu, alpha, ((alpha - 1) * 0.25).log())
    np.testing.assert_allclose(got, -stats.norm.logpdf(error, scale=0.5), rtol=1e-5)
    moments = _head().read(_raw(0.0, 2900.0, 1500.0, 0.25 * 1499))
    assert moments.epistemic_std is not None
    assert moments.aleatoric_std is not None
    assert float(moments.aleatoric_std) == pytest.approx(0.5)
    assert float(moments.epistemic_std) == pytest.approx(0.5 / np.sqrt(2900))


def test_outliers_pull_the_mean_less_than_squared_error_does() -> None:
    # Student's t forgives: the gradient with respect to gamma falls again for far errors, without the regulariser
    error = torch.tensor([1.0, 100.0], dtype=torch.float64, requires_grad=True)
    one = torch.tensor(0.0, dtype=torch.float64)
    nig_nll(error, one, torch.tensor(2.0, dtype=torch.float64), one).sum().backward()
    assert error.grad is not None
    assert error.grad[1] < error.grad[0]
