"""Correlations against scipy, and where they are not defined."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.metrics import mean_squared_error

from octodon.metrics import metrics
from octodon.metrics.mse import mse
from octodon.metrics.pearson import pearson
from octodon.metrics.spearman import spearman


def column(values):
    return np.asarray(values, dtype=np.float64)[:, None]


@pytest.fixture
def tied():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 6, size=(200, 2)).astype(np.float64)
    return x, x + rng.integers(0, 6, size=x.shape)


def test_libraries_agree(tied):
    x, y = tied
    assert_allclose(pearson(x, y), [stats.pearsonr(x[:, t], y[:, t]).statistic for t in range(2)], rtol=1e-12)
    assert_allclose(
        spearman(x, y), [stats.spearmanr(x[:, t], y[:, t]).statistic for t in range(2)], rtol=1e-12
    )
    assert_allclose(mse(x, y), mean_squared_error(y, x, multioutput="raw_values"), rtol=1e-12)


def test_by_hand():
    # deviations (-1, 0, 1) and (-4/3, -1/3, 5/3): r = 3 / sqrt(2 * 42/9)
    assert_allclose(pearson(column([1, 2, 3]), column([1, 2, 4])), 3 / np.sqrt(2 * 42 / 9), rtol=1e-14)
    assert spearman(column([1, 2, 3]), column([1, 2, 4]))[0] == pytest.approx(1.0, abs=1e-15)
    assert mse(column([1, 2, 3]), column([1, 2, 5]))[0] == pytest.approx(4 / 3)


@pytest.mark.parametrize("metric", [pearson, spearman])
@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([0.1] * 7, np.arange(7)),  # the mean of seven 0.1 is not 0.1 in floating point
        (np.arange(7), [0.1] * 7),
        ([2.0], [3.0]),
        ([1.0, 2.0, 5.0], [np.nan, 4.0, np.nan]),
        ([1.0, 2.0, 5.0], [4.0, 4.0, np.nan]),
    ],
)
def test_undefined_correlation_is_nan_without_warning(metric, x, y):
    assert np.isnan(metric(column(x), column(y)))[0]


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 1.7e308])
def test_size_of_the_numbers_does_not_matter(scale):
    x = np.array([0.1, 0.7, -0.4, 0.9, 0.2])
    y = np.array([0.3, 0.5, -0.9, 0.8, -0.1])
    tolerance = 1e-2 if scale < 1e-300 else 1e-12  # below 1e-308 numbers have few digits
    assert_allclose(pearson(column(x * scale), column(y)), pearson(column(x), column(y)), rtol=tolerance)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 2), min_size=2, max_size=30))
def test_correlations_stay_between_minus_one_and_one(rows):
    x, y = (column(values) for values in zip(*rows, strict=True))
    for name in ("pearson", "spearman"):
        value = metrics[name](x, y)[0]
        defined = np.ptp(x) > 0 and np.ptp(y) > 0
        assert (abs(value) <= 1.0) if defined else np.isnan(value)
