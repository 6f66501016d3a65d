"""What every baseline promises. A new file in the registry's folder is tested here without an edit."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tiny import TRAINING, TinyBackbone, examples, same_weights

import octodon
from octodon.baselines.methods import baselines
from octodon.data.examples import Examples
from octodon.errors import ConfigError

every_baseline = pytest.mark.parametrize("name", list(baselines))
WITH_OPTIONS = {"ensemble": {"members": 2}, "mc_dropout": {"passes": 6}}
"""Small ones; a baseline that is not named here is trained with its defaults."""


@cache
def _data(replicates: int = 3) -> Examples:
    data = examples(400)
    noise = np.random.default_rng(1).normal(0, 0.3, (400, 2, replicates)).astype(np.float32)
    splits = np.array(data.splits, dtype=object)
    splits[np.flatnonzero(splits == "test")[:60]] = "calibration"
    many = data.targets[:, :, None] + noise
    return replace(
        data, splits=splits.astype(str), targets=many.mean(2), replicates=many if replicates > 1 else None
    )


def _train(name: str, data: Examples | None = None, seed: int = 0, **changes: object) -> octodon.Ensemble:
    given = {"backbone": TinyBackbone, "training": TRAINING, "settings": WITH_OPTIONS.get(name, {})} | changes
    data = _data() if data is None else data
    return octodon.baseline(name, data, seed=seed, processes=0, device="cpu", progress=False, **given)  # type: ignore[arg-type]


_trained = cache(_train)


@every_baseline
def test_it_says_what_it_is_in_one_line_and_describes_its_options(name: str) -> None:
    assert (baselines[name].__doc__ or "").splitlines()[0].endswith((".", ":"))
    assert all(field.description for field in baselines[name].model_fields.values())


@every_baseline
@pytest.mark.parametrize("replicates", [3, 1])
def test_it_predicts_with_or_without_replicates(name: str, replicates: int) -> None:
    data = _data(replicates)
    said = (_trained(name) if replicates == 3 else _train(name, data)).predict(data.subset("test").codes)
    assert np.isfinite(said.mean).all()
    stds = [std for std in (said.epistemic_std, said.aleatoric_std) if std is not None]
    assert stds
    for std in stds:
        assert std.shape == said.mean.shape
        assert (np.isfinite(std) & (std > 0)).all()
        assert std.std() > 0  # sequence by sequence


@every_baseline
def test_the_same_seed_gives_the_same_and_another_seed_another(name: str) -> None:
    first, again, other = _trained(name), _train(name), _train(name, seed=1)
    assert same_weights(first.members[0].weights, again.members[0].weights)
    assert not same_weights(first.members[0].weights, other.members[0].weights)
    codes = _data().subset("test").codes
    np.testing.assert_array_equal(first.predict(codes).total_std, again.predict(codes).total_std)


@every_baseline
def test_it_is_saved_calibrated_and_read_again(name: str, tmp_path: Path) -> None:
    data = _data()
    calibrated = octodon.calibrate(_trained(name), data, device="cpu")
    octodon.save(calibrated, tmp_path / "bundle")
    loaded = octodon.load(tmp_path / "bundle", backbone=TinyBackbone)
    codes = data.subset("test").codes
    before, after = calibrated.predict(codes, level=0.8), loaded.predict(codes, level=0.8)
    assert before.lower is not None
    for field in ("mean", "epistemic_std", "aleatoric_std", "calibrated_std", "lower", "upper"):
        np.testing.assert_array_equal(getattr(before, field), getattr(after, field))


@every_baseline
def test_sequences_do_not_depend_on_their_neighbours(name: str) -> None:
    codes = _data().subset("test").codes
    whole, alone = _trained(name).predict(codes), _trained(name).predict(codes[5:6])
    np.testing.assert_allclose(alone.total_std, whole.total_std[5:6], rtol=1e-4)


@every_baseline
def test_it_can_be_distilled_where_it_says_what_it_does_not_know(name: str) -> None:
    model, data = _trained(name), _data()
    few = replace(data, splits=np.where(np.arange(400) < 80, data.splits, "other"))
    few = replace(few, splits=np.where(np.arange(400) >= 380, "valid", few.splits))
    if model.predict(data.codes[:2]).epistemic_std is None:
        return
    student = octodon.distill(
        model, few, copies=0, training={"epochs": 1}, processes=0, device="cpu", progress=False
    )
    assert isinstance(student, octodon.Student)
    assert student.predict(data.codes[:2]).epistemic_std is not None


@every_baseline
def test_an_unknown_option_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"baseline {name}: nonsense: unknown key"):
        _train(name, settings={"nonsense": 1})


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"baseline: no 'mc_drop'; did you mean 'mc_dropout'\?"):
        _train("mc_drop")


def test_without_dropout_layers_nothing_is_trained() -> None:
    class Plain(TinyBackbone):
        def __init__(self, length: int) -> None:
            super().__init__(length)
            self.dropout = None  # type: ignore[assignment]

    with pytest.raises(ConfigError, match="Plain has no dropout layer"):
        _train("mc_dropout", backbone=Plain)


@pytest.mark.parametrize("name", ["ensemble", "mc_dropout"])
def test_networks_learn_what_the_preset_says_unless_told_otherwise(name: str) -> None:
    small = {"members": 2} if name == "ensemble" else {"passes": 2}
    assert _train(name, preset="paper", settings=small).model.head == "mean"
    own = small | {"head": "gaussian_replicates"}
    assert _train(name, preset="paper", settings=own).model.head == "gaussian_replicates"


def test_the_ensemble_is_that_of_train() -> None:
    direct = octodon.train(
        _data(), TinyBackbone, members=2, training=TRAINING, processes=0, device="cpu", progress=False
    )
    pairs = zip(direct.members, _trained("ensemble").members, strict=True)
    assert all(same_weights(a.weights, b.weights) for a, b in pairs)


def test_mc_dropout_trains_and_answers_at_one_rate() -> None:
    fast = _train("mc_dropout", settings={"rate": 0.5, "passes": 3})
    assert fast.dropout is not None
    assert (fast.dropout.rate, fast.dropout.passes) == (0.5, 3)
    assert not same_weights(fast.members[0].weights, _trained("mc_dropout").members[0].weights)
