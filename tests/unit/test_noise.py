"""Noise from replicates: offsets, and the prior of limma, each against theory."""

import math

import numpy as np
import pytest

from octodon.data.noise import (
    VariancePrior,
    fit_variance_prior,
    replicate_offsets,
    shrink_stds,
)
from octodon.errors import DataError
from octodon.small_samples import sample_std


def test_offsets_of_replicates_are_found_and_sum_to_zero() -> None:
    rng = np.random.default_rng(0)
    true = np.array([[0.3, -0.1, -0.2], [0.0, 0.5, -0.5]])
    replicates = rng.normal(0, 2, (4000, 2, 1)) + true + rng.normal(0, 0.2, (4000, 2, 3))
    np.testing.assert_allclose(replicate_offsets(replicates), true, atol=0.02)
    # High rows lack their second replicate: its plain mean would lie far too low.
    replicates[replicates[:, :, 0] > 0, 1] = np.nan
    found = replicate_offsets(replicates)
    np.testing.assert_allclose(found, true, atol=0.03)
    np.testing.assert_allclose(found.sum(1), 0, atol=1e-9)


def test_offsets_of_complete_replicates_are_differences_of_means() -> None:
    replicates = np.random.default_rng(1).normal(0, 1, (50, 2, 4))
    expected = replicates.mean(0) - replicates.mean((0, 2))[:, None]
    np.testing.assert_allclose(replicate_offsets(replicates), expected, atol=1e-8)


def test_a_replicate_that_was_never_measured_has_no_offset() -> None:
    replicates = np.random.default_rng(2).normal(0, 1, (50, 1, 3))
    replicates[:, 0, 1] = np.nan
    assert replicate_offsets(replicates)[0, 1] == 0
    assert np.isfinite(replicate_offsets(np.full((5, 1, 2), np.nan))).all()


@pytest.mark.parametrize("degrees", [4.0, 12.0])
def test_the_prior_of_the_variances_is_recovered(degrees: float) -> None:
    rng = np.random.default_rng(3)
    d = rng.integers(1, 5, 40_000).astype(float)
    true = 0.25 * degrees / rng.chisquare(degrees, d.size)
    prior = fit_variance_prior(true * rng.chisquare(d) / d, d)
    assert prior.degrees == pytest.approx(degrees, rel=0.1)
    assert prior.variance == pytest.approx(0.25, rel=0.03)


def test_equal_variances_need_no_prior() -> None:
    rng = np.random.default_rng(4)
    # The estimate of the spread is below zero in half of all such draws; this is one.
    d = np.full(2000, 3.0)
    draws = (0.5 * np.random.default_rng(seed).chisquare(3, 2000) / 3 for seed in range(20))
    priors = [fit_variance_prior(draw, d) for draw in draws]
    assert any(math.isinf(prior.degrees) for prior in priors)
    # var(log s^2) = 0.93 is known to 0.04 from 2,000 rows: trigamma(d0 / 2), about 2 / d0, stays below three times that
    assert all(prior.degrees > 16 for prior in priors)
    assert priors[0].variance == pytest.approx(0.5, rel=0.05)
    # Shrunk all the way, every row has the std of its trend.
    replicates = rng.normal(0, 0.7, (2000, 1, 3))
    shrunken = shrink_stds(*sample_std(replicates), rng.normal(0, 1, (2000, 1)))
    np.testing.assert_allclose(shrunken, 0.7, rtol=0.25)


def test_moderated_variance_is_the_weighted_mean_of_limma(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    std, degrees = rng.uniform(0.5, 2, (40, 1)), np.full((40, 1), 2.0)
    prior = VariancePrior(degrees=4.0, variance=1.5)
    monkeypatch.setattr("octodon.data.noise.fit_variance_prior", lambda *_: prior)
    monkeypatch.setattr("octodon.data.noise._trend", lambda values, along: np.zeros(len(along)))
    expected = np.sqrt((4 * 1.5 + 2 * std**2) / 6)
    np.testing.assert_allclose(shrink_stds(std, degrees, std), expected)


def test_shrunken_stds_are_nearer_to_the_truth_and_keep_missing_rows_missing() -> None:
    rng = np.random.default_rng(6)
    activity = rng.normal(0, 1, (5000, 1))
    true = np.exp(0.5 * activity + rng.normal(0, 0.2, activity.shape))
    replicates = true[:, :, None] * rng.standard_normal((5000, 1, 3))
    replicates[:10, :, 1:] = np.nan
    std, degrees = sample_std(replicates)
    shrunken = shrink_stds(std, degrees, activity)
    assert np.isnan(shrunken[:10]).all()
    error, before = (np.square(values[10:] - true[10:]).mean() for values in (shrunken, std))
    assert error < 0.3 * before
    r, r_before = (np.corrcoef(values[10:, 0], true[10:, 0])[0, 1] for values in (shrunken, std))
    assert r > r_before + 0.1


def test_replicates_that_never_differ_are_refused() -> None:
    with pytest.raises(DataError, match="0 of them above 0"):
        fit_variance_prior(np.zeros(50), np.full(50, 2.0))
    with pytest.raises(DataError, match="9 rows"):
        fit_variance_prior(np.ones(9), np.full(9, 2.0))
