import numpy as np
import pytest

from octodon.errors import ConfigError, DataError
from octodon.records import MemberPredictions, Prediction


def _members(mean: np.ndarray, aleatoric_std: np.ndarray | None = None) -> MemberPredictions:
    ids = np.array([f"s{i}" for i in range(mean.shape[1])], dtype=object)
    names = tuple(f"t{i}" for i in range(mean.shape[2]))
    return MemberPredictions(ids=ids, target_names=names, mean=mean, aleatoric_std=aleatoric_std)


def test_mean_and_population_std_over_members() -> None:
    mean = np.random.default_rng(0).normal(3, 2, (7, 11, 2))
    combined = _members(mean).combine()
    for i in range(11):
        for t in range(2):
            values = [float(mean[k, i, t]) for k in range(7)]
            centre = sum(values) / 7
            assert combined.mean[i, t] == pytest.approx(centre)
            std = (sum((v - centre) ** 2 for v in values) / 7) ** 0.5  # divided by m, not m - 1
            assert combined.epistemic_std is not None
            assert combined.epistemic_std[i, t] == pytest.approx(std)
    assert combined.aleatoric_std is None


def test_total_variance_is_that_of_the_mixture_of_the_members() -> None:
    # Two Gaussians N(1, 1) and N(3, 4): E X = 2, E X^2 = (1 + 1 + 9 + 4) / 2 = 7.5, var X = 3.5 = 1 (means) + 2.5 (noise).
    combined = _members(np.array([[[1.0]], [[3.0]]]), np.array([[[1.0]], [[2.0]]])).combine()
    assert combined.mean == pytest.approx(2)
    assert combined.epistemic_std == pytest.approx(1)
    assert combined.aleatoric_std == pytest.approx(2.5**0.5)
    assert combined.total_std == pytest.approx(3.5**0.5)


def test_float32_members_far_from_zero_keep_their_disagreement() -> None:
    mean = (1000 + np.array([-0.25, 0.25], dtype=np.float32)).reshape(2, 1, 1)
    assert _members(mean).combine().epistemic_std == pytest.approx(0.25, rel=1e-9)


def test_one_member_gives_no_epistemic_std_rather_than_zero() -> None:
    single = _members(np.ones((1, 4, 1)))
    assert single.combine().epistemic_std is None
    assert single.combine().total_std is None


def test_total_std_of_what_there_is() -> None:
    std = np.full((2, 1), 0.5)
    ids = np.array(["a", "b"], dtype=object)
    only = Prediction(ids=ids, target_names=("t",), mean=std, aleatoric_std=std)
    np.testing.assert_allclose(only.total_std, std)


def test_a_member_alone() -> None:
    mean, noise = np.random.default_rng(0).normal(0, 1, (2, 3, 4, 2))
    alone = _members(mean, np.abs(noise)).member(1)
    np.testing.assert_array_equal(alone.mean, mean[1])
    np.testing.assert_array_equal(alone.aleatoric_std, np.abs(noise)[1])
    assert alone.epistemic_std is None


def test_axes_in_another_order_are_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(3, 4, 2\), expected \(members, 3 ids, 2 targets\)"):
        MemberPredictions(ids=np.array(["a", "b", "c"]), target_names=("x", "y"), mean=np.zeros((3, 4, 2)))


def _with_interval(**changes: object) -> Prediction:
    mean = np.zeros((2, 1))
    interval = {"lower": mean - 1, "upper": mean + 1, "level": 0.9, "interval": "by hand"} | changes
    return Prediction(ids=np.array(["a", "b"], dtype=object), target_names=("t",), mean=mean, **interval)


def test_an_interval_is_whole_and_its_ends_in_order() -> None:
    assert _with_interval().level == 0.9
    with pytest.raises(DataError, match="lower, upper, level and the name"):
        _with_interval(interval=None)
    with pytest.raises(DataError, match=r"from 2.0 to 1.0 at row 1, target 't'"):
        _with_interval(lower=np.array([[0.0], [2.0]]))
    with pytest.raises(DataError, match="lower <= upper"):
        _with_interval(upper=np.array([[0.0], [np.nan]]))


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 90.0, float("nan")])
def test_a_level_lies_between_0_and_1(level: float) -> None:
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        _with_interval(level=level)


def test_a_mean_of_replicates_is_less_noisy_but_no_better_known() -> None:
    # four measurements: the noise std halves, 0.6 -> 0.3; with an epistemic std of 0.4 the total is 0.5
    ids = np.array(["a"], dtype=object)
    epistemic, noise = np.array([[0.4]]), np.array([[0.6]])
    said = Prediction(ids=ids, target_names=("t",), mean=noise, epistemic_std=epistemic, aleatoric_std=noise)
    assert said.noise_of_mean(4) == pytest.approx(0.3)
    assert said.total_std_of_mean(4) == pytest.approx(0.5)
    assert said.total_std_of_mean(1) == pytest.approx(said.total_std)
    assert said.noise_of_mean(np.array([[9.0]])) == pytest.approx(0.2)
    only = Prediction(ids=ids, target_names=("t",), mean=noise, epistemic_std=epistemic)
    assert only.noise_of_mean(4) is None
    assert only.total_std_of_mean(4) == pytest.approx(0.4)


def test_the_share_of_a_mean_is_the_spread_of_simulated_means() -> None:
    rng = np.random.default_rng(0)
    noise = np.array([[0.5], [2.0]])
    said = Prediction(
        ids=np.array(["a", "b"], dtype=object), target_names=("t",), mean=noise, aleatoric_std=noise
    )
    measured = noise * rng.standard_normal((20_000, 2, 3)).mean(2)[:, :, None]
    np.testing.assert_allclose(measured.std(0), said.noise_of_mean(3), rtol=0.02)


def test_a_number_of_replicates_that_cannot_be_is_refused() -> None:
    said = _members(np.ones((1, 4, 1)), np.ones((1, 4, 1))).combine()
    with pytest.raises(DataError, match=r"replicates of a mean: 0.0, expected at least 1"):
        said.noise_of_mean(0)
    with pytest.raises(DataError, match=r"shape \(4,\), predictions \(4, 1\)"):
        said.total_std_of_mean(np.full(4, 3))


def test_an_ensemble_of_one_is_that_member() -> None:
    mean, noise = np.random.default_rng(0).normal(0, 1, (2, 1, 6, 2))
    single = _members(mean, np.abs(noise))
    combined, alone = single.combine(), single.member(0)
    np.testing.assert_allclose(combined.mean, alone.mean)
    np.testing.assert_allclose(combined.aleatoric_std, alone.aleatoric_std)
    np.testing.assert_allclose(combined.total_std, alone.total_std)
