"""What every calibration method must satisfy; runs over the registry, so that a new file is tested by being there."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from octodon.calibration.calibration import Calibration, raw
from octodon.calibration.fit import fit_calibration
from octodon.calibration.methods import methods
from octodon.errors import BundleError, ConfigError, DataError
from octodon.records import Prediction

TARGETS = ("Dev", "Hk")
NAMES = methods.names()


def simulate(n: int, seed: int, scale: float = 1.0) -> tuple[Prediction, np.ndarray, np.ndarray]:
    """Predictions whose total std is right, what was measured, and an out-of-distribution score."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=(n, 2))
    epistemic, noise = rng.uniform(0.1, 1.5, (n, 2)), rng.uniform(0.2, 0.6, (n, 2))
    measured = mean + np.hypot(epistemic, noise) * rng.normal(size=(n, 2))
    prediction = Prediction(
        ids=np.array([f"s{i}" for i in range(n)], dtype=object),
        target_names=TARGETS,
        mean=scale * mean,
        epistemic_std=scale * epistemic,
        aleatoric_std=scale * noise,
    )
    return prediction, scale * measured, rng.uniform(size=n)


@cache
def fit_plainly(name: str, n: int = 600) -> Calibration:
    prediction, measured, score = simulate(n, 0)
    return fit_calibration(prediction, measured, method=name, ood_score=score)


def fit(name: str, n: int = 600, seed: int = 0, **changes) -> Calibration:
    if not changes and n >= 600:
        return fit_plainly(name, n)
    prediction, measured, score = simulate(n, seed, changes.pop("scale", 1.0))
    return fit_calibration(prediction, measured, **({"method": name, "ood_score": score} | changes))


def apply(
    calibration: Calibration, level: float | None = None, n: int = 4000, seed: int = 1, scale: float = 1.0
):
    prediction, measured, score = simulate(n, seed, scale)
    return calibration.apply(prediction, level, ood_score=score), measured


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_coverage_of_new_rows_is_the_level(name, level):
    done, measured = apply(fit(name, n=2000), level)
    inside = np.mean((done.lower <= measured) & (measured <= done.upper), axis=0)
    # sd of the coverage: from 2000 calibration rows and from 4000 new ones; four of them either way
    sd = np.sqrt(level * (1 - level) * (1 / 2000 + 1 / 4000))
    assert_allclose(inside, level, atol=4 * sd)


@pytest.mark.parametrize("name", NAMES)
def test_intervals_are_in_order_and_grow_with_the_level(name):
    calibration = fit(name)
    widths = []
    for level in (0.05, 0.5, 0.9, 0.95):
        done, _ = apply(calibration, level)
        assert np.isfinite(done.lower).all()
        assert (done.lower <= done.upper).all()
        assert done.level == level
        widths.append(done.upper - done.lower)
    assert (np.diff(widths, axis=0) >= 0).all()
    assert (np.mean(widths[3], axis=0) > np.mean(widths[1], axis=0)).all()


@pytest.mark.parametrize("name", NAMES)
def test_calibrated_std_is_that_of_the_errors(name):
    done, measured = apply(fit(name, n=2000))
    assert (done.calibrated_std > 0).all()
    ratio = np.mean(((measured - done.mean) / done.calibrated_std) ** 2, axis=0)
    # the mean of 4000 squared standard normals varies by 2.2 %, the scale from 2000 rows by 3.2 %
    assert_allclose(ratio, 1, atol=0.2)


@pytest.mark.parametrize("name", NAMES)
def test_json_and_back_gives_the_same_intervals(name):
    calibration = fit(name)
    text = json.dumps(calibration.to_dict(), allow_nan=False)
    again = Calibration.from_dict(json.loads(text))
    first, second = apply(calibration, 0.8)[0], apply(again, 0.8)[0]
    assert_array_equal(first.lower, second.lower)
    assert_array_equal(first.upper, second.upper)
    assert_array_equal(first.calibrated_std, second.calibrated_std)
    assert first.interval == second.interval == calibration.describe(0.8)
    assert again.to_dict() == calibration.to_dict()


@pytest.mark.parametrize("name", NAMES)
def test_taking_the_calibration_back_gives_the_prediction_itself(name):
    prediction, _, score = simulate(50, 3)
    back = raw(fit(name).apply(prediction, ood_score=score))
    for field in prediction.__dataclass_fields__:
        assert getattr(back, field) is getattr(prediction, field)


@pytest.mark.parametrize("name", NAMES)
def test_units_do_not_matter(name):
    small, large = apply(fit(name), 0.8)[0], apply(fit(name, scale=100.0), 0.8, scale=100.0)[0]
    assert_allclose(large.lower, 100 * small.lower, rtol=1e-3, atol=1e-6)
    assert_allclose(large.calibrated_std, 100 * small.calibrated_std, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_targets_do_not_touch(name):
    prediction, measured, score = simulate(600, 0)
    other = measured.copy()
    other[:, 1] += 7
    calibrations = [fit_calibration(prediction, m, method=name, ood_score=score) for m in (measured, other)]
    done = [apply(calibration)[0] for calibration in calibrations]
    assert_array_equal(done[0].lower[:, 0], done[1].lower[:, 0])
    assert (done[0].lower[:, 1] != done[1].lower[:, 1]).any()


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_value_is_as_if_the_row_were_not_there(name):
    prediction, measured, score = simulate(600, 0)
    gaps = measured.copy()
    gaps[500:] = np.nan
    part = replace(
        prediction,
        **{f: getattr(prediction, f)[:500] for f in ("ids", "mean", "epistemic_std", "aleatoric_std")},
    )
    a = fit_calibration(prediction, gaps, method=name, ood_score=score)
    b = fit_calibration(part, measured[:500], method=name, ood_score=score[:500])
    assert a.n_rows == b.n_rows == (500, 500)
    assert a.to_dict() == b.to_dict()


@pytest.mark.parametrize("name", NAMES)
def test_too_few_rows_are_refused(name):
    with pytest.raises(DataError, match=r"49 rows with a measured 'Dev', expected at least 50"):
        fit(name, n=49)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 90.0, np.nan])
def test_a_level_outside_0_to_1_is_refused(name, level):
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        fit(name, level=level)
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        apply(fit(name), level)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", ["mean", "epistemic_std", "aleatoric_std"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5])
def test_a_mean_or_std_that_is_no_number_and_a_negative_std_are_refused(name, field, value):
    if field == "mean" and value == -0.5:
        return
    prediction, measured, score = simulate(100, 0)
    values = getattr(prediction, field).copy()
    values[7, 1] = value
    wrong = replace(prediction, **{field: values})
    with pytest.raises(DataError, match=rf"calibration: {field} is {value} at row 7 \(s7\), target 'Hk'"):
        fit_calibration(wrong, measured, method=name, ood_score=score)
    with pytest.raises(DataError, match=rf"calibration: {field} is {value} at row 7"):
        fit(name).apply(wrong, ood_score=score)


@pytest.mark.parametrize("name", NAMES)
def test_another_model_is_refused(name):
    prediction, _, score = simulate(100, 0)
    calibration = fit(name)
    with pytest.raises(DataError, match="made for targets"):
        calibration.apply(replace(prediction, target_names=("Hk", "Dev")), ood_score=score)
    with pytest.raises(DataError, match="epistemic_std and aleatoric_std, this one gives epistemic_std"):
        calibration.apply(replace(prediction, aleatoric_std=None), ood_score=score)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_option_and_a_wrong_value_are_refused(name):
    with pytest.raises(ConfigError, match=f"calibration by {name}: no option 'bin'"):
        fit(name, options={"bin": 3})
    if name.startswith("mondrian"):
        with pytest.raises(ConfigError, match="bins = 1; expected a whole number from 2"):
            fit(name, options={"bins": 1})
        with pytest.raises(ConfigError, match="scale = 'std'; expected 'total' or 'components'"):
            fit(name, options={"scale": "std"})


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_one_line(name):
    plain = fit(name).to_dict()
    for damage in ({"format": 99}, {"method": "magic"}, {"level": 3}, {"targets": [{}]}, {"parts": None}):
        with pytest.raises(BundleError) as caught:
            Calibration.from_dict(plain | damage, "x/calibration.json")
        assert str(caught.value).startswith("x/calibration.json: ")
        assert "\n" not in str(caught.value)
    plain["targets"][0]["learnt"] = {"nonsense": 1.0}
    with pytest.raises(BundleError, match="not a calibration"):
        Calibration.from_dict(plain)


@pytest.mark.parametrize("name", [n for n in NAMES if methods[n].conformal])
def test_conformal_methods_do_not_need_a_normal_error(name):
    def heavy(n, seed):
        prediction, _, score = simulate(n, seed)
        errors = stats.t(df=2).rvs(size=(n, 2), random_state=seed)
        return prediction, prediction.mean + prediction.total_std * errors, score

    prediction, measured, score = heavy(2000, 0)
    calibration = fit_calibration(prediction, measured, method=name, ood_score=score)
    prediction, measured, score = heavy(4000, 1)
    for level in (0.5, 0.95):
        done = calibration.apply(prediction, level, ood_score=score)
        inside = np.mean((done.lower <= measured) & (measured <= done.upper), axis=0)
        assert_allclose(inside, level, atol=4 * np.sqrt(level * (1 - level) * (1 / 2000 + 1 / 4000)))
