"""Metrics of a predicted noise, against points solvable by hand, scipy's densities, and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from octodon.errors import DataError
from octodon.metrics.aleatoric import noise_nll, noise_ratio, std_ceiling


def _simulated(
    spread: float, replicates: int | np.ndarray, n: int = 60_000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True stds, log-normal; the sample std of replicates of normal noise; their number."""
    rng = np.random.default_rng(0)
    count = np.broadcast_to(np.asarray(replicates), (n,)).reshape(n, 1)
    true = np.exp(spread * rng.standard_normal((n, 1)))
    return true, true * np.sqrt(rng.chisquare(count - 1) / (count - 1)), count


def test_the_likelihood_is_that_of_the_replicates_given_their_mean() -> None:
    # Two replicates 1 and 4 differ by 3 ~ N(0, 2 sigma^2); s = 3 / sqrt(2). The contrast (4 - 1) / sqrt(2) ~ N(0, sigma^2).
    s, count = np.array([[3 / math.sqrt(2)]]), np.array([[2]])
    expected = -stats.norm(0, 1.5).logpdf(3 / math.sqrt(2))
    assert noise_nll(np.array([[1.5]]), s, count) == pytest.approx(expected)


def test_the_likelihood_differs_from_that_of_the_sample_variance_by_what_no_prediction_changes() -> None:
    s, count = np.array([[0.7], [1.9]]), np.array([[4], [4]])
    differences = []
    for sigma in (0.5, 1.0, 3.0):
        density = stats.gamma(1.5, scale=2 * sigma**2 / 3).logpdf(np.square(s[:, 0]))  # s^2 with d = 3
        differences.append(float(noise_nll(np.full((2, 1), sigma), s, count)[0]) + density.sum() / 6)
    np.testing.assert_allclose(differences, differences[0])


def test_the_true_noise_has_the_best_likelihood_and_ratio_one() -> None:
    true, s, count = _simulated(0.4, 3)
    best = float(noise_nll(true, s, count)[0])
    for other in (1.1 * true, 0.9 * true, np.full_like(true, np.sqrt(np.square(true).mean()))):
        assert float(noise_nll(other, s, count)[0]) > best
    assert noise_ratio(true, s, count) == pytest.approx(1, abs=0.01)
    assert noise_ratio(2 * true, s, count) == pytest.approx(0.5, abs=0.01)


def test_rows_weigh_by_their_degrees_of_freedom() -> None:
    s, count = np.array([[1.0], [2.0]]), np.array([[2], [4]])
    ones = np.ones((2, 1))
    # weights 1 and 3: the mean square is (1 + 12) over 4
    assert noise_ratio(ones, s, count) == pytest.approx(math.sqrt(13 / 4))
    assert noise_nll(ones, s, count) == pytest.approx(0.5 * (math.log(2 * math.pi) + 13 / 4))


def test_a_std_of_zero_is_infinitely_wrong_and_missing_replicates_say_nothing() -> None:
    s, count = np.array([[1.0, np.nan], [np.nan, np.nan]]), np.array([[3, 1], [1, 0]])
    sigma = np.array([[0.0, 1.0], [1.0, 0.0]])
    nll = noise_nll(sigma, s, count)
    assert math.isinf(nll[0])
    assert nll[0] > 0
    assert math.isnan(nll[1])
    assert math.isinf(noise_ratio(sigma, s, count)[0])
    assert math.isnan(std_ceiling(s, count)[0])


@pytest.mark.parametrize("spread", [0.1, 0.3, 0.8])
@pytest.mark.parametrize("replicates", [2, 3, 10])
def test_the_ceiling_is_what_the_true_noise_reaches(spread: float, replicates: int) -> None:
    true, s, count = _simulated(spread, replicates)
    reached = np.corrcoef(true[:, 0], s[:, 0])[0, 1]
    # exp(0.8 z) has heavy tails: there the estimate of its variance scatters
    assert float(std_ceiling(s, count)[0]) == pytest.approx(reached, abs=0.04 if spread > 0.5 else 0.02)


def test_the_ceiling_holds_for_unequal_numbers_of_replicates() -> None:
    count = np.random.default_rng(1).integers(2, 6, 60_000)
    true, s, counted = _simulated(0.4, count)
    reached = np.corrcoef(true[:, 0], s[:, 0])[0, 1]
    assert float(std_ceiling(s, counted)[0]) == pytest.approx(reached, abs=0.02)
    with_missing = (
        np.concatenate([s, np.full((50, 1), np.nan)]),
        np.concatenate([counted, np.ones((50, 1), int)]),
    )
    np.testing.assert_allclose(std_ceiling(*with_missing), std_ceiling(s, counted))


def test_equal_noise_leaves_nothing_to_correlate_with() -> None:
    _, s, count = _simulated(0.0, 3)
    assert float(std_ceiling(s, count)[0]) < 0.1


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(4, 2\), truth \(4, 1\)"):
        noise_nll(np.ones((4, 2)), np.ones((4, 2)), np.ones((4, 1), int))
