"""What every metric must satisfy; runs over the registry, so that a new file is tested by being there."""

import numpy as np
import pytest
from jaxtyping import config as shape_checks
from numpy.testing import assert_allclose, assert_array_equal

from octodon.errors import ConfigError, DataError
from octodon.metrics import metrics

pytestmark = pytest.mark.parametrize("name", metrics.names())


@pytest.fixture
def pair():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(60, 3))
    return truth + rng.normal(size=truth.shape) * [0.3, 0.6, 0.9], truth


@pytest.fixture
def as_users_run(monkeypatch):
    """Shape checks run only in tests; without them our own refusals must stand."""
    shape_checks.update("jaxtyping_disable", True)
    yield
    shape_checks.update("jaxtyping_disable", False)


def slow_ranks(values):
    return [sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2 for v in values]


def slow_pearson(x, y):
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    spread = sum((a - mean_x) ** 2 for a in x) * sum((b - mean_y) ** 2 for b in y)
    return covariance / spread**0.5


SLOW = {
    "mse": lambda x, y: sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / len(x),
    "pearson": slow_pearson,
    "spearman": lambda x, y: slow_pearson(slow_ranks(x), slow_ranks(y)),
}


def test_equals_a_slow_reference_on_present_rows(name, pair):
    prediction, truth = np.round(pair[0], 1), np.round(pair[1], 1)  # rounded: there are ties
    truth[[3, 17], 0] = truth[5, 2] = np.nan
    expected = []
    for x, y in zip(prediction.T, truth.T, strict=True):
        rows = [(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True) if b == b]
        expected.append(SLOW[name](*zip(*rows, strict=True)))
    assert_allclose(metrics[name](prediction, truth), expected, rtol=1e-12)


def test_one_float64_per_target(name, pair):
    value = metrics[name](pair[0].astype(np.float32), pair[1].astype(np.float32))
    assert value.shape == (3,)
    assert value.dtype == np.float64
    assert_allclose(value, metrics[name](*pair), rtol=1e-5)


def test_order_of_rows_changes_nothing(name, pair):
    rows = np.random.default_rng(0).permutation(len(pair[0]))
    assert_allclose(metrics[name](pair[0][rows], pair[1][rows]), metrics[name](*pair), rtol=1e-12)


def test_targets_do_not_touch(name, pair):
    value = metrics[name](*pair)
    for target in range(3):
        columns = slice(target, target + 1)
        assert_array_equal(metrics[name](pair[0][:, columns], pair[1][:, columns])[0], value[target])


def test_worse_prediction_has_worse_value(name, pair):
    truth = pair[1]
    noise = np.random.default_rng(5).normal(size=truth.shape)
    values = np.array([metrics[name](truth + noise * scale, truth) for scale in (0.1, 0.5, 1.5, 5.0)])
    steps = np.diff(values, axis=0)
    assert metrics[name].better in ("lower", "higher")
    assert (steps > 0 if metrics[name].better == "lower" else steps < 0).all()


def test_perfect_prediction_is_best(name, pair):
    value = metrics[name](pair[1], pair[1])
    assert_allclose(value, 0.0 if metrics[name].better == "lower" else 1.0, atol=1e-14)


def test_missing_truth_is_as_if_the_row_were_not_there(name, pair):
    prediction, truth = pair
    gaps = truth.copy()
    gaps[10:20, 1] = np.nan
    value, whole = metrics[name](prediction, gaps), metrics[name](prediction, truth)
    kept = np.r_[0:10, 20:60]
    assert_array_equal(value[[0, 2]], whole[[0, 2]])
    assert_allclose(value[1], metrics[name](prediction[kept], truth[kept])[1], rtol=1e-12)


def test_no_row_at_all_is_undefined_without_warning(name, pair):
    truth = pair[1].copy()
    truth[:, 1] = np.nan
    assert_array_equal(np.isnan(metrics[name](pair[0], truth)), [False, True, False])
    assert np.isnan(metrics[name](np.empty((0, 2)), np.empty((0, 2)))).all()


def test_leaves_its_arguments_alone(name, pair):
    copies = pair[0].copy(), pair[1].copy()
    metrics[name](*pair)
    assert_array_equal(pair[0], copies[0])
    assert_array_equal(pair[1], copies[1])


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("predicted", "true"),
    [((9,), (9, 1)), ((9, 1), (9,)), ((9,), (9,)), ((9, 2), (9, 1)), ((8, 2), (9, 2)), ((1, 2), (9, 2))],
)
def test_shapes_that_would_broadcast_are_refused(name, predicted, true):
    with pytest.raises(
        DataError, match=r"metric: prediction has shape .* expected the same \(rows, targets\)"
    ):
        metrics[name](np.zeros(predicted), np.zeros(true))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_prediction_that_is_not_finite_is_refused_even_where_truth_is_missing(name, pair, wrong):
    prediction, truth = pair[0].copy(), pair[1].copy()
    prediction[7, 2], truth[7, 2] = wrong, np.nan
    with pytest.raises(DataError, match=r"1 of 180 values of the prediction .* row 7, target 2"):
        metrics[name](prediction, truth)


def test_infinite_truth_is_refused(name, pair):
    truth = pair[1].copy()
    truth[4, 0] = np.inf
    with pytest.raises(DataError, match=r"1 of 180 values of the truth .* row 4, target 0"):
        metrics[name](pair[0], truth)


def test_unknown_name_answers_with_the_nearest(name):
    with pytest.raises(ConfigError, match=f"did you mean '{name}'"):
        metrics[name[:-1] + "x"]
