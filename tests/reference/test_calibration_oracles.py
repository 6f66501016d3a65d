"""Calibration methods beside crepes, scikit-learn, scipy and closed forms."""

import numpy as np
import pytest
from crepes import ConformalRegressor
from numpy.testing import assert_allclose
from scipy import stats
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

from octodon.calibration._rows import Rows, score_at, two_sided
from octodon.calibration.calibration import rows_per_target
from octodon.calibration.fit import fit_calibration
from octodon.calibration.gaussian import gaussian_interval
from octodon.calibration.methods.components import Components
from octodon.calibration.methods.scaling import Scaling
from octodon.errors import ConfigError, DataError
from octodon.records import Prediction

# Levels whose product with n + 1 is exact in binary, so that crepes, which computes it in floating point, agrees.
LEVELS = (0.5, 0.75, 0.875)


def draw(n: int, seed: int) -> tuple[Prediction, np.ndarray]:
    rng = np.random.default_rng(seed)
    mean, std = rng.normal(size=(n, 1)), np.exp(0.6 * rng.normal(size=(n, 1)))
    ids = np.array([f"s{i}" for i in range(n)], dtype=object)
    prediction = Prediction(ids=ids, target_names=("t",), mean=mean, epistemic_std=std)
    return prediction, mean + 1.7 * std * rng.standard_t(4, size=(n, 1))


@pytest.mark.parametrize("level", LEVELS)
def test_split_is_that_of_crepes(level):
    prediction, measured = draw(199, 0)
    new, _ = draw(30, 1)
    done = fit_calibration(prediction, measured, method="split").apply(new, level)
    oracle = ConformalRegressor().fit((measured - prediction.mean)[:, 0])
    expected = oracle.predict_int(new.mean[:, 0], confidence=level)
    assert_allclose(np.stack([done.lower[:, 0], done.upper[:, 0]], 1), expected, rtol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_normalised_is_that_of_crepes(level):
    prediction, measured = draw(199, 0)
    new, _ = draw(30, 1)
    calibration = fit_calibration(prediction, measured, method="normalised", options={"scale": "total"})
    floor = prediction.epistemic_std.min()  # a smaller std than was ever seen is taken as that one
    done = calibration.apply(new, level)
    oracle = ConformalRegressor().fit((measured - prediction.mean)[:, 0], prediction.epistemic_std[:, 0])
    sigmas = np.maximum(new.epistemic_std[:, 0], floor)
    expected = oracle.predict_int(new.mean[:, 0], sigmas=sigmas, confidence=level)
    assert_allclose(np.stack([done.lower[:, 0], done.upper[:, 0]], 1), expected, rtol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_mondrian_is_that_of_crepes(level):
    prediction, measured = draw(496, 0)
    new, _ = draw(30, 1)
    calibration = fit_calibration(
        prediction, measured, method="mondrian_activity", options={"scale": "total", "bins": 4}
    )
    done = calibration.apply(new, level)
    edges = np.quantile(prediction.mean[:, 0], [0.25, 0.5, 0.75])
    cells = [np.sum(p.mean[:, [0]] >= edges, axis=1) for p in (prediction, new)]
    residual = (measured - prediction.mean)[:, 0]
    oracle = ConformalRegressor().fit(residual, sigmas=prediction.epistemic_std[:, 0], bins=cells[0])
    sigmas = np.maximum(new.epistemic_std[:, 0], prediction.epistemic_std.min())
    expected = oracle.predict_int(new.mean[:, 0], sigmas=sigmas, bins=cells[1], confidence=level)
    assert_allclose(np.stack([done.lower[:, 0], done.upper[:, 0]], 1), expected, rtol=1e-12)


def test_the_rank_is_that_of_the_level_as_written():
    # ceil((n + 1) level): 9 rows at 0.9 need the 9th of 9; in floating point 10 * 0.9 may be above 9.
    scores = np.arange(1.0, 10)
    assert score_at(scores, 0.9) == 9
    assert score_at(scores, 0.8) == 8
    assert score_at(scores, 0.81) == 9
    with pytest.raises(DataError, match=r"level 0.91: 9 calibration rows allow at most 0.9, .* infinite"):
        score_at(scores, 0.91)
    for n in (*range(1, 40), 99, 199, 399, 1278):
        for hundredths in range(1, 100):
            rank = -((-(n + 1) * hundredths) // 100)  # in whole numbers
            if rank <= n:
                assert score_at(np.arange(1.0, n + 1), hundredths / 100) == rank


def test_isotonic_quantiles_are_those_of_isotonic_regression():
    prediction, measured = draw(400, 0)
    new, _ = draw(5, 1)
    z = np.sort(((measured - prediction.mean) / prediction.epistemic_std)[:, 0])
    # Kuleshov et al. 2018, algorithm 1: regress the observed share on the predicted one.
    predicted = stats.norm.cdf(z)
    observed = np.array([np.mean(predicted <= p) for p in predicted])
    regression = IsotonicRegression(out_of_bounds="clip").fit(predicted, observed)
    for level in (0.5, 0.8, 0.9):
        done = fit_calibration(prediction, measured, method="isotonic").apply(new, level)
        for end, share in ((done.lower, (1 - level) / 2), (done.upper, (1 + level) / 2)):
            at = stats.norm.cdf(((end - new.mean) / new.epistemic_std)[:, 0])
            # 400 rows: steps of 1 / 400 between one observed share and the next
            assert_allclose(regression.predict(at), share, atol=2 / 400)


def test_two_sided_quantiles_by_hand():
    # Nine scores stand for 0.1, 0.2, ... 0.9; level 0.5 leaves 0.25 on either side: halfway 2nd to 3rd, 7th to 8th.
    scores = np.array([1.0, 2, 4, 8, 16, 32, 64, 128, 256])
    assert two_sided(scores, 0.5) == pytest.approx((3, 96))
    assert two_sided(scores, 0.8) == pytest.approx((1, 256))
    with pytest.raises(DataError, match=r"9 calibration rows allow at most 0\.8 with two tails"):
        two_sided(scores, 0.81)


def test_the_scaling_factor_is_the_most_likely_one():
    prediction, measured = draw(300, 0)
    rows, residual = rows_per_target(prediction, None)[0], (measured - prediction.mean)[:, 0]
    factor = Scaling.fit(rows, residual).factor

    def nll(s):
        return -stats.norm.logpdf(residual, scale=s * rows.total_std).sum()

    assert factor == pytest.approx(np.exp(minimize(lambda x: nll(np.exp(x[0])), [0.0]).x[0]), rel=1e-4)
    assert nll(factor) < min(nll(factor * 1.01), nll(factor / 1.01))
    # errors of 2 and of 4 stds in equal number: sqrt((4 + 16) / 2)
    by_hand = Rows(mean=np.zeros(4), total_std=np.array([1.0, 1, 2, 2]))
    assert Scaling.fit(by_hand, np.array([2.0, -4, 4, -8])).factor == pytest.approx(10**0.5)


def test_components_finds_the_true_factors():
    rng = np.random.default_rng(0)
    epistemic, noise = rng.uniform(0.1, 1, (2, 200_000))
    true = np.sqrt(2.5 * epistemic**2 + 0.4 * noise**2 + 0.3)
    rows = Rows(mean=np.zeros(200_000), epistemic_std=epistemic, noise_std=noise)
    fitted = Components.fit(rows, true * rng.normal(size=200_000))
    assert fitted.epistemic == pytest.approx(2.5, rel=0.05)
    assert fitted.noise == pytest.approx(0.4, rel=0.1)
    assert fitted.constant_var == pytest.approx(0.3, rel=0.05)
    assert_allclose(fitted.std(rows), true, rtol=0.02)


def test_components_is_at_least_as_likely_as_scaling_and_a_constant():
    for seed in range(10):
        prediction, measured = draw(100, seed)
        rows, residual = rows_per_target(prediction, None)[0], (measured - prediction.mean)[:, 0]

        def nll(std, residual=residual):
            return -stats.norm.logpdf(residual, scale=std).mean()

        best = nll(Components.fit(rows, residual).std(rows))
        assert best <= nll(Scaling.fit(rows, residual).std(rows)) + 1e-5
        assert best <= nll(np.sqrt(np.mean(residual**2))) + 1e-5


def test_components_without_any_std_is_the_root_mean_square():
    residual = np.random.default_rng(0).normal(size=100)
    fitted = Components.fit(Rows(mean=np.zeros(100)), residual)
    assert fitted.std(Rows(mean=np.zeros(3))) == pytest.approx([np.sqrt(np.mean(residual**2))] * 3, rel=1e-4)
    assert (fitted.epistemic, fitted.noise) == (0, 0)


def test_a_std_of_zero_is_refused_where_it_divides_and_fine_where_it_does_not():
    prediction, measured = draw(100, 0)
    prediction.epistemic_std[3] = 0
    for method, options in (("scaling", {}), ("isotonic", {}), ("normalised", {"scale": "total"})):
        with pytest.raises(
            DataError, match=r"t: calibration: 1 of 100 total stds are zero .* use the method"
        ):
            fit_calibration(prediction, measured, method=method, options=options)
    for method in ("components", "split", "normalised"):
        done = fit_calibration(prediction, measured, method=method).apply(prediction)
        assert (done.upper > done.lower).all()


def test_a_model_without_std_can_be_calibrated_by_some_methods():
    prediction, measured = draw(100, 0)
    bare = Prediction(ids=prediction.ids, target_names=("t",), mean=prediction.mean)
    for method in ("split", "components", "normalised", "mondrian_activity"):
        assert fit_calibration(bare, measured, method=method).apply(bare).lower is not None
    with pytest.raises(DataError, match="gives no std to scale; use the method 'split' or 'components'"):
        fit_calibration(bare, measured, method="scaling")


def test_gaussian_interval_of_one_measurement_and_of_a_mean():
    mean, one = np.zeros((2, 1)), np.ones((2, 1))
    prediction = Prediction(
        ids=np.array(["a", "b"]),
        target_names=("t",),
        mean=mean,
        epistemic_std=one,
        aleatoric_std=3**0.5 * one,
    )
    # 1.959964 * sqrt(1 + 3), and with four replicates sqrt(1 + 3 / 4)
    assert_allclose(gaussian_interval(prediction, 0.95).upper, 3.919928, rtol=1e-6)
    assert_allclose(gaussian_interval(prediction, 0.95, replicates=4).upper, 1.959964 * 1.75**0.5, rtol=1e-6)
    assert gaussian_interval(prediction, 0.95, replicates=4).interval.startswith("gaussian, not calibrated")
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        gaussian_interval(prediction, 95.0)


def _noisy(n: int, replicates: int, seed: int) -> tuple[Prediction, np.ndarray]:
    """A model that knows its epistemic std and the noise of ONE measurement; measured is a mean of replicates."""
    rng = np.random.default_rng(seed)
    mean, epistemic, noise = (
        rng.normal(size=(n, 1)),
        rng.uniform(0.2, 0.4, (n, 1)),
        rng.uniform(0.5, 2, (n, 1)),
    )
    truth = mean + epistemic * rng.normal(size=(n, 1))
    measured = truth + noise / np.sqrt(replicates) * rng.normal(size=(n, 1))
    ids = np.array([f"s{i}" for i in range(n)], dtype=object)
    return Prediction(
        ids=ids, target_names=("t",), mean=mean, epistemic_std=epistemic, aleatoric_std=noise
    ), measured


def test_an_interval_for_a_mean_is_not_one_for_a_single_measurement():
    prediction, measured = _noisy(4000, 3, 0)
    calibration = fit_calibration(prediction, measured, method="components", replicates=3)
    # the model's stds are right, so each counts in full: nothing to scale, nothing to add
    assert_allclose(calibration.per_target[0].std(rows_per_target(prediction, (3,))[0]),
                    prediction.total_std_of_mean(3)[:, 0], rtol=0.1)  # fmt: skip
    for replicates in (1, 3, 12):
        new, value = _noisy(4000, replicates, 10 + replicates)
        done = calibration.apply(new, 0.9, replicates=replicates)
        assert np.mean((done.lower <= value) & (value <= done.upper)) == pytest.approx(0.9, abs=0.03)
        assert (
            f"{'one measurement' if replicates == 1 else f'mean of {replicates} replicates'}" in done.interval
        )
    # taken for what it is not, it would be far off
    single, value = _noisy(4000, 1, 99)
    mixed_up = calibration.apply(single, 0.9)
    assert np.mean((mixed_up.lower <= value) & (value <= mixed_up.upper)) < 0.8


@pytest.mark.parametrize("method", ["split", "normalised", "isotonic", "mondrian_activity"])
def test_intervals_by_quantiles_are_refused_for_another_number_of_replicates(method):
    prediction, measured = _noisy(200, 3, 0)
    calibration = fit_calibration(prediction, measured, method=method, replicates=3)
    assert calibration.apply(prediction, replicates=3).interval.endswith("mean of 3 replicates")
    with pytest.raises(
        DataError, match=f"{method}: made for values .*mean of 3 replicates.*, asked for: one measurement"
    ):
        calibration.apply(prediction, replicates=1)


def test_unequal_numbers_of_replicates_count_row_by_row():
    rng = np.random.default_rng(0)
    counts = rng.choice([1, 3, 9], p=[0.2, 0.5, 0.3], size=(3000, 1))
    prediction, _ = _noisy(3000, 1, 0)
    measured = prediction.mean + prediction.total_std_of_mean(counts) * rng.normal(size=(3000, 1))
    calibration = fit_calibration(prediction, measured, method="scaling", replicates=counts)
    assert calibration.replicates == (3,)
    assert calibration.per_target[0].factor == pytest.approx(1, abs=0.04)
    with pytest.raises(DataError, match="at least 1"):
        fit_calibration(prediction, measured, replicates=0 * counts)
