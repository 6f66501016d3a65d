"""What every metric of an interval must satisfy, and each by hand; runs over the registry."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from octodon.errors import ConfigError, DataError
from octodon.metrics.intervals import interval_metrics

NAMES = interval_metrics.names()
LOWER = np.array([[0.0, 0], [0, 0], [0, 0], [1, 0]])
UPPER = np.array([[1.0, 2], [1, 2], [1, 2], [4, 2]])
TRUTH = np.array([[0.5, 3], [1.0, np.nan], [1.5, -1], [0.0, 2]])
# first target: inside, at the end, 0.5 above, 1 below; second: 1 above, missing, 1 below, at the end
BY_HAND = {
    "coverage": [2 / 4, 1 / 3],
    "width": [(1 + 1 + 1 + 3) / 4, 2],
    "interval_score": [1.5 + 10 * (0.5 + 1) / 4, 2 + 10 * 2 / 3],  # 2 / alpha = 10 at level 0.8
}


@pytest.mark.parametrize("name", NAMES)
def test_by_hand(name):
    assert_allclose(interval_metrics[name](LOWER, UPPER, TRUTH, 0.8), BY_HAND[name])
    missing = np.full_like(TRUTH, np.nan)
    assert np.isnan(interval_metrics[name](LOWER, UPPER, missing, 0.8)).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_interval_is_refused(name):
    with pytest.raises(DataError, match=r"1 of 8 intervals have their lower end above .* row 3, target 0"):
        interval_metrics[name](LOWER, np.where(UPPER == 4, 0.5, UPPER), TRUTH, 0.8)
    with pytest.raises(DataError, match="not finite"):
        interval_metrics[name](LOWER, np.where(UPPER == 4, np.inf, UPPER), TRUTH, 0.8)
    for level in (0.0, 1.0, 80.0):
        with pytest.raises(ConfigError, match="above 0 and below 1"):
            interval_metrics[name](LOWER, UPPER, TRUTH, level)


def test_the_interval_score_is_best_at_the_true_quantiles():
    truth = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None]
    score = interval_metrics["interval_score"]
    ends = {
        factor: factor * stats.norm.ppf(0.95) * np.ones_like(truth) for factor in (0.8, 0.95, 1, 1.05, 1.2)
    }
    values = {factor: score(-end, end, truth, 0.9)[0] for factor, end in ends.items()}
    assert min(values, key=lambda factor: values[factor]) == 1
