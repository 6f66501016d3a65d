"""Replicates drawn from a mean and a standard deviation: both are kept, and nothing else is told."""

import numpy as np
import pytest
from scipy import stats
from tiny import examples

from octodon.data.drawn_replicates import draw_replicates, with_drawn_replicates
from octodon.errors import DataError


def test_mean_and_sample_standard_deviation_are_those_given():
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=50), rng.uniform(0, 2, 50)
    drawn = draw_replicates(mean, std, count=3, seed=1)
    np.testing.assert_allclose(drawn.mean(axis=1), mean, atol=1e-12)
    np.testing.assert_allclose(np.std(drawn, axis=1, correction=1), std, atol=1e-12)
    np.testing.assert_array_equal(drawn, draw_replicates(mean, std, count=3, seed=1))


def test_replicates_of_normal_noise_are_drawn_as_they_were():
    # replicates made anew from mean and std of normal ones are normal again: Kolmogorov-Smirnov does not tell them apart
    rng = np.random.default_rng(0)
    measured = rng.normal(2.0, 0.5, (4000, 3))
    drawn = draw_replicates(measured.mean(axis=1), np.std(measured, axis=1, correction=1), count=3, seed=1)
    for column in drawn.T:
        assert stats.kstest(column, stats.norm(2.0, 0.5).cdf).pvalue > 0.01
    pairs = np.corrcoef(drawn.T)[np.triu_indices(3, 1)]
    assert np.abs(pairs).max() < 4 / np.sqrt(4000)


def test_a_set_without_a_standard_deviation_is_refused():
    with pytest.raises(DataError, match=r"needs one target, no replicates.*2 targets and the columns none"):
        with_drawn_replicates(examples(20))
