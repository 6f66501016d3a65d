"""Paired bootstrap: against a slow loop, and against what chance allows."""

import numpy as np
import pytest

from octodon.metrics.bootstrap import mean_difference, pearson_difference, squared_error_difference


def three(n=80, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(5, 2, n)
    return truth + rng.normal(0, 1, n), truth + rng.normal(0, 2, n), truth


def test_the_interval_is_that_of_a_loop_over_drawn_rows():
    a, b, truth = three()
    rng = np.random.default_rng(7)
    drawn, errors = [], []
    for _ in range(200):
        rows = rng.integers(len(truth), size=len(truth))
        r = [np.corrcoef(x[rows], truth[rows])[0, 1] for x in (a, b)]
        drawn.append(r[0] - r[1])
        errors.append(np.mean((a[rows] - truth[rows]) ** 2) - np.mean((b[rows] - truth[rows]) ** 2))
    for found, loop in (
        (pearson_difference(a, b, truth, seed=7, draws=200), drawn),
        (squared_error_difference(a, b, truth, seed=7, draws=200), errors),
    ):
        np.testing.assert_allclose((found.low, found.high), np.quantile(loop, (0.025, 0.975)), rtol=1e-9)
    expected = np.corrcoef(a, truth)[0, 1] - np.corrcoef(b, truth)[0, 1]
    assert pearson_difference(a, b, truth).value == pytest.approx(expected)


def test_equal_models_differ_by_nothing():
    a, _, truth = three()
    found = pearson_difference(a, a, truth)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_the_interval_holds_the_true_difference_about_as_often_as_it_says():
    # two equally good models, whose true difference is 0: 95 % of 200 draws, 4 binomial sd below at least
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=100)
        a, b = truth + rng.normal(size=(2, 100))
        found = pearson_difference(a, b, truth, draws=200)
        inside += found.low <= 0 <= found.high
    assert inside / 200 > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 200)


def test_rows_without_a_truth_are_left_out():
    a, b, truth = three()
    hole = truth.copy()
    hole[:10] = np.nan
    assert pearson_difference(a, b, hole) == pearson_difference(a[10:], b[10:], truth[10:])
    assert pearson_difference(a, b, hole).n == 70


def test_what_is_not_defined_is_nan_without_a_warning():
    found = pearson_difference(np.ones(5), np.arange(5.0), np.arange(5.0))
    assert np.isnan([found.value, found.low, found.high]).all()
    assert np.isnan(squared_error_difference(np.ones(2), np.ones(2), np.full(2, np.nan)).value)


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_rows_give_a_difference_that_nobody_can_be_sure_of(n):
    for found in (
        mean_difference(np.full(n, 3.0), np.ones(n)),
        squared_error_difference(np.full(n, 2.0), np.full(n, 1.0), np.full(n, 0.5)),
    ):
        assert (found.value, found.n) == (2, n)
        assert np.isnan([found.low, found.high]).all()
    three_rows = mean_difference(np.full(3, 3.0), np.ones(3))
    assert (three_rows.value, three_rows.low, three_rows.high) == (2, 2, 2)
