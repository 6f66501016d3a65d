"""Dropout that stays on: variances with a closed form, passes that are networks of their own, and nothing else changed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import LENGTH, TinyBackbone, ensemble
from torch import Tensor, nn

from octodon.artifact.bundle import load, save
from octodon.errors import BundleError, ConfigError
from octodon.models import dropout
from octodon.models.dropout import DropoutPasses, read_with_dropout
from octodon.models.model import Model, ModelConfig, build_model
from octodon.seq.codes import random_codes
from octodon.seq.onehot import one_hot

CODES = random_codes((7, LENGTH), np.random.default_rng(0))


class DroppedLinear(nn.Module):
    """Dropout on the one-hot itself: with a linear head, mean and variance over masks have a closed form."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.1)
        self.n_features = 4 * length

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(x.flatten(1))


class DroppedChannels(nn.Module):
    """Whole channels are dropped by a layer called by name, then positions summed."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout1d(0.1)
        self.n_features = 4

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(input=x).sum(2)


class NotFollowed(TinyBackbone):
    """Its steps depend on the numbers, so that it cannot be traced."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if float(x.sum()) >= 0 else -x)


class Undropped(nn.Module):
    def __init__(self, length: int) -> None:
        super().__init__()
        self.n_features = 4

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(2)


def _model(backbone: type, seed: int = 1) -> Model:
    return build_model(ModelConfig(backbone=backbone, length=LENGTH, n_targets=2), seed).eval()


def _passes(model: Model, codes: np.ndarray = CODES, batch_size: int = 128, **how: float) -> np.ndarray:
    return read_with_dropout(model, codes, DropoutPasses(**how), batch_size)["mean"]  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [0.25, 0.6])
@pytest.mark.parametrize("backbone", [DroppedLinear, DroppedChannels])
def test_mean_and_variance_of_a_linear_network_are_those_of_bernoulli_masks(
    backbone: type, rate: float
) -> None:
    # y = sum of w_i x_i m_i / (1 - p), m_i Bernoulli(1 - p): mean w x, variance p / (1 - p) sum of (w_i x_i)^2
    model = _model(backbone)
    said = _passes(model, rate=rate, passes=3000)
    x = one_hot(torch.from_numpy(CODES))
    features = (x.flatten(1) if backbone is DroppedLinear else x.sum(2)).numpy()
    terms = features[:, None, :] * model.head.linear.weight.detach().numpy()[None]
    std = np.sqrt(rate / (1 - rate) * np.square(terms).sum(2))
    np.testing.assert_allclose(said.std(0), std, rtol=0.07)
    assert (np.abs(said.mean(0) - terms.sum(2)) < 5 * std / np.sqrt(3000)).all()


def test_a_pass_drops_the_same_units_for_every_sequence() -> None:
    # so the std of a difference is that of w (x - x'), not of two draws
    model = _model(DroppedLinear)
    said = _passes(model, rate=0.5, passes=3000)
    x = one_hot(torch.from_numpy(CODES)).flatten(1).numpy()
    terms = (x[0] - x[1]) * model.head.linear.weight.detach().numpy()
    np.testing.assert_allclose((said[:, 0] - said[:, 1]).std(0), np.sqrt(np.square(terms).sum(1)), rtol=0.07)


@pytest.mark.parametrize("backbone", [TinyBackbone, NotFollowed])
def test_rows_do_not_depend_on_their_batch(backbone: type) -> None:
    model = _model(backbone)
    whole = _passes(model, passes=5)
    np.testing.assert_allclose(_passes(model, batch_size=2, passes=5), whole, atol=1e-6)
    np.testing.assert_allclose(_passes(model, CODES[3:4], passes=5), whole[:, 3:4], atol=1e-6)


def test_the_seed_says_which_units_and_more_passes_add_to_the_first() -> None:
    model = _model(TinyBackbone)
    np.testing.assert_array_equal(_passes(model, passes=6), _passes(model, passes=6))
    np.testing.assert_array_equal(_passes(model, passes=9)[:6], _passes(model, passes=6))
    assert (_passes(model, passes=6, seed=1) != _passes(model, passes=6)).any()


def test_a_network_that_cannot_be_followed_gives_the_same_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model(TinyBackbone)
    followed = _passes(model, passes=4)
    monkeypatch.setattr(dropout, "trace", lambda backbone: None)
    np.testing.assert_allclose(_passes(model, passes=4), followed, atol=1e-6)
    assert dropout.trace(NotFollowed(LENGTH)) is None


def test_all_but_dropout_is_in_evaluation_mode_and_the_network_comes_back_as_found() -> None:
    model = _model(TinyBackbone)
    model.train()
    model.backbone.norm.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes, shown = [module.training for module in model.modules()], str(model)
    _passes(model, passes=3)
    assert [module.training for module in model.modules()] == modes
    assert str(model) == shown
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    # at a rate near 0 the passes are the network as it answers without dropout, running statistics included
    with torch.inference_mode():
        plain = model.eval().read(one_hot(torch.from_numpy(CODES))).mean.numpy()
    np.testing.assert_allclose(_passes(model, passes=2, rate=1e-7)[0], plain, atol=1e-5)


def test_what_cannot_be_had_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Undropped has no dropout layer, expected nn\.Dropout"):
        _passes(_model(Undropped))
    with pytest.raises(ConfigError, match=r"dropout rate: 0\.0; expected above 0"):
        DropoutPasses(rate=0.0)
    with pytest.raises(ConfigError, match="dropout passes: 1; one gives no spread"):
        DropoutPasses(passes=1)


def test_passes_of_an_ensemble_are_its_members_by_the_law_of_total_variance() -> None:
    thinned = replace(ensemble(), dropout=DropoutPasses(passes=4))
    said = thinned.predict_members(CODES)
    assert said.n_members == 12
    alone = _passes(thinned.network(1), passes=4)
    np.testing.assert_allclose(said.mean[4:8], alone, atol=1e-6)
    combined = thinned.predict(CODES, device="cpu")
    np.testing.assert_allclose(combined.mean, said.mean.mean(0), rtol=1e-6)
    np.testing.assert_allclose(combined.epistemic_std, said.mean.std(0), rtol=1e-4)


def test_a_bundle_keeps_the_passes_and_an_older_octodon_would_refuse_it(tmp_path: Path) -> None:
    thinned = replace(ensemble(), dropout=DropoutPasses(rate=0.3, passes=5, seed=2))
    path = save(thinned, tmp_path / "thinned")
    again = load(path, backbone=TinyBackbone)
    assert again.dropout == thinned.dropout  # type: ignore[union-attr]  # an ensemble
    np.testing.assert_array_equal(again.predict(CODES).epistemic_std, thinned.predict(CODES).epistemic_std)
    assert '"format": 2' in (path / "config.json").read_text()
    assert '"format": 1' in (save(ensemble(), tmp_path / "plain") / "config.json").read_text()
    text = (path / "config.json").read_text().replace('"passes": 5', '"passes": 0')
    (path / "config.json").write_text(text)
    with pytest.raises(BundleError, match="'dropout' is"):
        load(path, backbone=TinyBackbone)
