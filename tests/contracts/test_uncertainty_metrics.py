"""What every metric of a std must satisfy, and what each is for a Gaussian; runs over the registry."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.metrics import auc, roc_auc_score

from octodon.errors import DataError
from octodon.metrics.uncertainty import uncertainty_metrics

NAMES = uncertainty_metrics.names()


@pytest.fixture
def case():
    rng = np.random.default_rng(3)
    mean, std = rng.normal(size=(60, 3)), rng.uniform(0.2, 2, size=(60, 3))
    return mean, std, mean + std * rng.normal(size=(60, 3)) * [0.5, 1, 3]


def slow_crps(m, s, y):
    """The integral of (F(x) - [x >= y])^2 on either side of y, by Gauss and Legendre (Gneiting and Raftery 2007, eq. 20)."""
    nodes, weights = np.polynomial.legendre.leggauss(300)

    def integral(function, low, high):
        return np.sum(weights * function(low + (high - low) * (nodes + 1) / 2)) * (high - low) / 2

    total = 0.0
    for m_, s_, y_ in zip(m, s, y, strict=True):
        far = abs(y_ - m_) + 10 * s_
        total += integral(lambda x, m_=m_, s_=s_: stats.norm.cdf(x, m_, s_) ** 2, m_ - far, y_)
        total += integral(lambda x, m_=m_, s_=s_: stats.norm.sf(x, m_, s_) ** 2, y_, m_ + far)
    return total / len(y)


def slow_ence(m, s, y):
    rows = sorted(zip(s, (y - m) ** 2, strict=True))
    parts = [rows[i : i + 6] for i in range(0, 60, 6)]
    promised = [np.sqrt(np.mean([s**2 for s, _ in part])) for part in parts]
    seen = [np.sqrt(np.mean([e for _, e in part])) for part in parts]
    return np.mean([abs(p - e) / p for p, e in zip(promised, seen, strict=True)])


def slow_area(m, s, y):
    levels = np.linspace(0, 1, 100)
    observed = [np.mean(np.abs(y - m) <= stats.norm.ppf((1 + level) / 2) * s) for level in levels]
    fine = np.linspace(0, 1, 99 * 2000 + 1)  # holds every one of the 100 levels
    return auc(fine, np.abs(np.interp(fine, levels, observed) - fine))


def slow_ause(m, s, y):
    error = (y - m) ** 2
    by_std = [error[np.argsort(s)][: k + 1].mean() for k in range(len(y))]
    by_error = [np.sort(error)[: k + 1].mean() for k in range(len(y))]
    return (np.mean(by_std) - np.mean(by_error)) / error.mean()


def slow_auroc(m, s, y):
    error = np.abs(y - m)
    return roc_auc_score(error >= np.sort(error)[-(len(y) // 10)], s)


SLOW = {
    "nll": lambda m, s, y: -stats.norm.logpdf(y, m, s).mean(),
    "crps": slow_crps,
    "ence": slow_ence,
    "miscalibration_area": slow_area,
    "sharpness": lambda m, s, y: (s**2).mean() ** 0.5,
    "error_spearman": lambda m, s, y: stats.spearmanr(s, np.abs(y - m)).statistic,
    "ause": slow_ause,
    "error_auroc": slow_auroc,
}


@pytest.mark.parametrize("name", NAMES)
def test_equals_a_slow_reference(name, case):
    expected = [SLOW[name](*columns) for columns in zip(*(values.T for values in case), strict=True)]
    assert_allclose(uncertainty_metrics[name](*case), expected, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_missing_truth_is_as_if_the_row_were_not_there(name, case):
    mean, std, truth = case
    gaps = truth.copy()
    gaps[10:20, 1] = np.nan
    kept = np.r_[0:10, 20:60]
    whole = uncertainty_metrics[name](mean, std, truth)
    part = uncertainty_metrics[name](mean[kept], std[kept], truth[kept])
    assert_allclose(uncertainty_metrics[name](mean, std, gaps), [whole[0], part[1], whole[2]], rtol=1e-12)
    gaps[:, 1] = np.nan
    assert_array_equal(np.isnan(uncertainty_metrics[name](mean, std, gaps)), [False, True, False])


@pytest.mark.parametrize("name", NAMES)
def test_order_of_rows_changes_nothing(name, case):
    rows = np.random.default_rng(0).permutation(60)
    shuffled = [values[rows] for values in case]
    assert_allclose(uncertainty_metrics[name](*shuffled), uncertainty_metrics[name](*case), rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_float32_gives_float64(name, case):
    value = uncertainty_metrics[name](*(values.astype(np.float32) for values in case))
    assert value.dtype == np.float64
    assert_allclose(value, uncertainty_metrics[name](*case), rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_std_is_refused(name, case):
    mean, std, truth = case
    for wrong, words in (
        (-0.1, "1 of 180 stds are negative"),
        (np.nan, "not finite"),
        (np.inf, "not finite"),
    ):
        broken = std.copy()
        broken[4, 1] = wrong
        with pytest.raises(DataError, match=rf"{words}.*row 4, target 1"):
            uncertainty_metrics[name](mean, broken, truth)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", [0.3, 3.0])
def test_the_true_std_scores_better_than_a_wrong_one(name, other):
    rng = np.random.default_rng(1)
    std = np.exp(0.7 * rng.normal(size=(4000, 1)))
    truth = std * rng.normal(size=(4000, 1))
    mean = np.zeros((4000, 1))
    # what ranks errors sees no scale: there the stds are shuffled instead
    ranks = name in ("error_spearman", "ause", "error_auroc")
    wrong = rng.permutation(std) if ranks else other * std
    if name == "sharpness":
        return
    metric = uncertainty_metrics[name]
    gain = metric(mean, std, truth) - metric(mean, wrong, truth)
    assert metric.better in ("lower", "higher")
    assert (gain < 0 if metric.better == "lower" else gain > 0).all()


def value(name, mean, std, truth):
    columns = (np.asarray(values, dtype=float)[:, None] for values in (mean, std, truth))
    return float(uncertainty_metrics[name](*columns)[0])


def test_expected_values_for_a_gaussian():
    n = 200_000
    truth = 2 * stats.norm.ppf((np.arange(n) + 0.5) / n)  # a perfect sample of N(0, 4)
    flat = np.full(n, 2.0)
    # E nll = log(2 pi e s^2) / 2; E crps = s / sqrt(pi)
    assert value("nll", 0 * truth, flat, truth) == pytest.approx(0.5 * np.log(2 * np.pi * np.e * 4), rel=1e-3)
    assert value("crps", 0 * truth, flat, truth) == pytest.approx(2 / np.sqrt(np.pi), rel=1e-3)
    assert value("miscalibration_area", 0 * truth, flat, truth) < 1e-4
    assert value("sharpness", 0 * truth, flat, truth) == 2
    # With an infinite std half the quantiles are never reached: coverage 1 at all levels, area 1 / 2.
    assert value("miscalibration_area", 0 * truth, 1e9 * flat, truth) == pytest.approx(0.5, abs=0.01)


def test_edges_by_hand():
    nothing = np.zeros(20)
    errors = np.arange(1.0, 21)
    assert value("crps", nothing, nothing, errors) == 10.5  # std 0: the absolute error
    assert value("nll", nothing, nothing, errors) == np.inf
    assert value("miscalibration_area", nothing, nothing, nothing) == pytest.approx(0.5)
    # stds in the order of the errors: an oracle
    assert value("ause", nothing, errors, errors) == pytest.approx(0)
    assert value("error_spearman", nothing, errors, -errors) == pytest.approx(1)
    assert value("error_auroc", nothing, errors, errors) == 1
    assert value("error_auroc", nothing, -errors + 21, errors) == 0
    # without information
    assert value("error_auroc", nothing, nothing + 1, errors) == 0.5
    assert np.isnan(value("error_spearman", nothing, nothing + 1, errors))
    assert np.isnan(value("ause", nothing, errors, nothing))
    # each std twice the error of its bin: |2 - 1| / 2
    assert value("ence", nothing, 2 * errors, errors) == pytest.approx(0.5)
    assert np.isnan(value("ence", nothing[:9], errors[:9], errors[:9]))


def test_a_tied_std_does_not_depend_on_the_order_of_rows():
    errors, std = np.array([3.0, 1, 0, 5]), np.array([1.0, 1, 2, 2])
    forward, backward = (value("ause", [0] * 4, s, e) for s, e in ((std, errors), (std[::-1], errors[::-1])))
    assert forward == pytest.approx(backward)
