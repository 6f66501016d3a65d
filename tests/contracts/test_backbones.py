"""What every backbone promises. A new file in the registry's folder is tested here without an edit."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from octodon.errors import ConfigError
from octodon.models import layers
from octodon.models.backbones import backbones
from octodon.models.model import Model, ModelConfig, build_model
from octodon.seq.onehot import one_hot
from octodon.training.config import TrainingConfig
from octodon.training.loop import LabelledCodes, fit

every_backbone = pytest.mark.parametrize("name", list(backbones))


def _config(name: str, length: int | None = None, **options: object) -> ModelConfig:
    length = _short(name) if length is None else length
    return ModelConfig(backbone=name, length=length, n_targets=2, options=options)


def _short(name: str) -> int:
    """Return a length that every layer has several positions of, and odd."""
    return getattr(backbones[name], "min_length", 1) + 60 | 1


def _sequences(n: int, length: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return one_hot(torch.randint(4, (n, length), generator=generator).to(torch.uint8))


def _eval(name: str, **options: object) -> Model:
    return build_model(_config(name, **options), seed=0).eval()


@every_backbone
def test_output_is_finite_and_has_n_features_columns(name: str) -> None:
    model = build_model(_config(name), seed=0)
    features = model.backbone(_sequences(3, _short(name)))
    assert features.shape == (3, model.backbone.n_features)
    assert torch.isfinite(features).all()


@every_backbone
def test_rows_are_independent_in_eval_mode(name: str) -> None:
    # In float64: an untrained softmax over channels leaves differences of 1e-8 between sequences.
    model, x = _eval(name).double(), _sequences(5, _short(name)).double()
    with torch.no_grad():
        together = model.backbone(x)
        alone = torch.cat([model.backbone(row) for row in x.split(1)])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-13)
    assert together.std(dim=0, correction=0).max() > 1e-10  # rows differ, so mixing them would show


@every_backbone
def test_input_and_every_parameter_get_a_gradient(name: str) -> None:
    model = build_model(_config(name), seed=0)
    x = _sequences(4, _short(name)).requires_grad_()
    raw = model(x)
    # Random weights: plain sums of a normalised output can cancel to zero.
    (raw * torch.randn(raw.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    gradients = {"input": x.grad} | {key: p.grad for key, p in model.named_parameters()}
    dead = [key for key, g in gradients.items() if g is None or not torch.isfinite(g).all() or not g.any()]
    assert not dead


@every_backbone
def test_an_epoch_trains_it_and_keeps_its_best_weights(name: str) -> None:
    """Whatever its parts are called: "second" is also what a head calls a backbone of its own."""
    model = build_model(replace(_config(name), head="standardised_mean"), seed=0)
    codes = torch.randint(4, (8, _short(name)), dtype=torch.uint8)
    data = LabelledCodes(codes=codes, labels={"activity": torch.randn(8, 2)})
    before = {key: value.clone() for key, value in model.named_parameters()}
    history = fit(model, data, data, TrainingConfig(epochs=2, batch_size=8, precision="float32"), seed=0)
    assert len(history) == 2
    assert any(not torch.equal(value, before[key]) for key, value in model.named_parameters())


@every_backbone
def test_same_seed_same_weights_other_seed_other_weights(name: str) -> None:
    first, again, other = (build_model(_config(name), seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    random = {key for key, value in first.items() if value.is_floating_point() and value.unique().numel() > 1}
    assert random
    assert not [key for key in random if torch.equal(first[key], other[key])]


@every_backbone
def test_no_tensor_of_a_network_repeats_another(name: str) -> None:
    state = build_model(_config(name), seed=3).state_dict()
    random = [value for value in state.values() if value.is_floating_point() and value.unique().numel() > 1]
    for i, value in enumerate(random):
        assert not any(v.shape == value.shape and torch.equal(v, value) for v in random[:i])


@every_backbone
def test_batch_norm_starts_fresh(name: str) -> None:
    build_model(_config(name), seed=0)(_sequences(4, _short(name)))  # an earlier network has seen data
    norms = [m for m in build_model(_config(name), seed=0).modules() if isinstance(m, nn.BatchNorm1d)]
    for norm in norms:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert not norm.running_mean.any()
        assert (norm.running_var == 1).all()
        assert (norm.weight == 1).all()
        assert not norm.bias.any()


@every_backbone
def test_building_leaves_the_global_generator_untouched(name: str) -> None:
    before = torch.get_rng_state()
    build_model(_config(name), seed=7)
    assert torch.equal(torch.get_rng_state(), before)


@every_backbone
def test_safetensors_round_trip_is_exact(name: str, tmp_path: Path) -> None:
    model = build_model(_config(name), seed=0)
    x = _sequences(3, _short(name))
    model(x)  # move the BatchNorm statistics off their start
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    loaded = build_model(_config(name), seed=1)
    loaded.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
    with torch.no_grad():
        assert torch.equal(model.eval()(x), loaded.eval()(x))


@every_backbone
def test_lengths_from_the_minimum_up_work_and_shorter_ones_are_refused(name: str) -> None:
    shortest = getattr(backbones[name], "min_length", 1)
    for length in (shortest, shortest + 1, 145, 200):
        model = build_model(_config(name, length), seed=0)
        with torch.no_grad():
            trained, used = model(_sequences(2, length)), model.eval()(_sequences(2, length))
        assert torch.isfinite(trained).all()
        assert torch.isfinite(used).all()
    with pytest.raises(ConfigError, match=f"sequences of {shortest - 1} bp are too short"):
        build_model(_config(name, shortest - 1), seed=0)


@every_backbone
def test_an_unknown_option_is_refused_with_a_suggestion(name: str) -> None:
    with pytest.raises(ConfigError, match=r"has no 'dropuot'; did you mean '.*dropout'"):
        build_model(_config(name, dropuot=0.1), seed=0)


@every_backbone
@pytest.mark.parametrize(("option", "value"), [("width", 0.0), ("dropout", 1.0), ("dropout", -0.1)])
def test_an_option_out_of_range_is_refused(name: str, option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"model.options.*got {value}"):
        build_model(_config(name, **{option: value}), seed=0)


@every_backbone
def test_memory_layout_of_the_input_changes_nothing(name: str) -> None:
    model, x = _eval(name), _sequences(3, _short(name))
    with torch.no_grad():
        torch.testing.assert_close(model(x.contiguous()), model(x), rtol=1e-5, atol=1e-6)


class Pooled(nn.Module):
    """A user's own backbone: neither ``min_length`` nor ``n_features``."""

    def __init__(self, length: int, channels: int = 8) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, channels, 5, padding="same")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x)).mean(dim=2)


def test_a_class_from_elsewhere_is_a_backbone() -> None:
    config = ModelConfig(backbone=Pooled, length=30, n_targets=3, options={"channels": 6})
    model = build_model(config, seed=0)
    assert model.head.linear.in_features == 6
    assert model(_sequences(2, 30)).shape == (2, 1, 3)


_FILE = """
from torch import nn
class Mean(nn.Module):
    def __init__(self, length: int, features: int = 5):
        super().__init__()
        self.linear = nn.Linear(4, features)
    def forward(self, x):
        return self.linear(x.mean(dim=2))
class Unpooled(Mean):
    def forward(self, x):
        return x
limit = 3
"""


def test_a_file_from_elsewhere_is_a_backbone(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(_FILE)
    config = ModelConfig(backbone=f"{file}:Mean", length=30, n_targets=1, options={"features": 7})
    first, again = build_model(config, seed=5), build_model(config, seed=5)
    assert first.head.linear.in_features == 7
    assert torch.equal(first.backbone.linear.weight, again.backbone.linear.weight)
    assert type(first.backbone) is type(again.backbone)  # the file is run once ...
    file.write_text(_FILE.replace("features)", "2 * features)"))
    os.utime(file, ns=(0, 0))
    changed = build_model(config, seed=5)
    assert changed.head.linear.in_features == 14  # ... until it changes


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.py:Absent", "has no nn.Module class 'Absent'"),
        ("mine.py:limit", "has no nn.Module class 'limit'"),
        ("mine.py:Unpooled", r"returns shape \(2, 4, 30\).*expected \(2, features\)"),
        ("yours.py:Mean", "no file .*yours.py"),
    ],
)
def test_a_file_that_gives_no_backbone_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(_FILE)
    with pytest.raises(ConfigError, match=message):
        build_model(ModelConfig(backbone=str(tmp_path / name), length=30, n_targets=1), seed=0)


class WithoutLength(nn.Module):
    """A user's own backbone that cannot be built as ours are."""

    def __init__(self) -> None:
        super().__init__()


class Even(nn.Module):
    """A user's own backbone that refuses a length in its own way."""

    def __init__(self, length: int) -> None:
        super().__init__()
        raise ValueError(f"{length} is not what I want\nand this is why")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"backbone": "deepstarr", "options": {"width": "half"}},
            r"DeepSTARR\(length=100, width='half'\) fails",
        ),
        ({"backbone": Pooled, "options": {"channels": None}}, r"Pooled\(length=100, channels=None\) fails"),
        ({"backbone": WithoutLength}, r"WithoutLength\(length=100\) fails: .*'length'"),
        ({"backbone": Even}, r"Even\(length=100\) fails: 100 is not what I want; give"),
    ],
)
def test_a_constructor_that_fails_is_one_line(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"model.options: {message}") as caught:
        build_model(ModelConfig(length=100, n_targets=1, **config), seed=0)
    assert "\n" not in str(caught.value)


def test_an_unknown_backbone_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="no 'deepstar'; did you mean 'deepstarr'"):
        build_model(ModelConfig(backbone="deepstar", length=100, n_targets=1), seed=0)


def test_the_registry_holds_the_published_networks() -> None:
    assert {"deepstarr", "residualbind", "mprann", "dream_rnn"} <= set(backbones)


def test_layers_equal_those_of_pytorch() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 6, 21, generator=generator)
    for options in ({"padding": "same", "dilation": 4}, {"padding": 0}, {"padding": 2}):
        ours, theirs = layers.Conv1d(6, 5, 3, **options), nn.Conv1d(6, 5, 3, **options)
        theirs.load_state_dict(ours.state_dict())
        torch.testing.assert_close(ours(x), theirs(x))
    ours, theirs = layers.BatchNorm1d(6), nn.BatchNorm1d(6, eps=1e-3, momentum=0.01)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))  # the running statistics are equal, too
    assert torch.equal(layers.max_pool(x, 5), nn.functional.max_pool1d(x, 5))
