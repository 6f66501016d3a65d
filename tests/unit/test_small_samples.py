"""Stds of a few values, against theory and by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from octodon.small_samples import expected_std, sample_std


def test_the_bias_of_a_sample_std_is_that_of_the_chi_distribution() -> None:
    for degrees in (1, 2, 5, 40):
        assert expected_std(degrees) == pytest.approx(stats.chi(degrees).mean() / math.sqrt(degrees))
    # two replicates: E|a - b| / sqrt(2) = sqrt(2 / pi)
    assert expected_std(1) == pytest.approx(math.sqrt(2 / math.pi))
    assert np.isnan(expected_std(np.array([0.0, 2.0]))).tolist() == [True, False]


def test_sample_std_of_the_replicates_present() -> None:
    replicates = np.array([[[1.0, 3.0, np.nan]], [[1.0, 2.0, 6.0]], [[4.0, np.nan, np.nan]]])
    std, degrees = sample_std(replicates)
    np.testing.assert_allclose(
        std[:, 0], [math.sqrt(2), math.sqrt(7), np.nan]
    )  # (1 + 1) / 1; (4 + 1 + 9) / 2
    np.testing.assert_array_equal(degrees[:, 0], [1, 2, 0])
