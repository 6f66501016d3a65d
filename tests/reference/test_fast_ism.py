"""Fast saturation mutagenesis equals mutating every base and predicting, for every kind of network that it follows."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from octodon.attribution.attribute import attribute
from octodon.attribution.fast_ism import reader
from octodon.attribution.fast_ism.program import UnsupportedError, read_program
from octodon.attribution.fast_ism.trace import trace
from octodon.models.heads import Moments
from octodon.models.model import ModelConfig, build_model
from octodon.seq.codes import encode, random_codes
from octodon.seq.onehot import one_hot

RNG = np.random.default_rng(0)


def hot(n: int, length: int) -> Tensor:
    return one_hot(torch.from_numpy(random_codes((n, length), RNG))).contiguous()


def network(backbone: str, length: int, head: str = "mean") -> nn.Module:
    """Weights large enough, and BatchNorm statistics uneven enough, that a slip would show."""
    config = ModelConfig(backbone=backbone, length=length, n_targets=2, head=head, options={"width": 0.15})
    model = build_model(config, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.named_buffers():
            if name.endswith(("running_var", "running_mean", "_scale", "_location")):
                value.uniform_(0.2, 1.0, generator=generator)
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                value.uniform_(-0.3, 0.3, generator=generator)
    return model.eval()


def naive(model: nn.Module, x: Tensor) -> Moments:
    """One mutant after another, written without a thought for speed."""
    mutants = []
    for row in x:
        for position in range(row.shape[1]):
            for base in range(4):
                mutant = row.clone()
                mutant[:, position] = torch.eye(4)[base]
                mutants.append(mutant)
    with torch.no_grad():
        return model.read(torch.stack(mutants))  # type: ignore[operator]


def assert_equal(ours: Moments, theirs: Moments) -> None:
    scale = float(theirs.mean.std())
    assert scale > 1e-3
    for name in reader.FIELDS:
        a, b = getattr(ours, name), getattr(theirs, name)
        assert (a is None) == (b is None)
        if b is not None:
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-4 * max(scale, 1e-2))


@pytest.mark.parametrize(
    ("backbone", "length", "head"),
    [
        ("deepstarr", 67, "distilled"),
        ("deepstarr", 16, "mean"),
        ("deepstarr", 50, "distilled_log_variance"),
        ("mprann", 45, "standardised_mean"),
        ("residualbind", 58, "distilled"),
        ("residualbind", 25, "mean"),
        ("deepstarr", 50, "replicate_variance_apart"),  # two backbones
        ("residualbind", 25, "replicate_variance_apart"),
    ],
)
def test_our_networks(backbone: str, length: int, head: str) -> None:
    model, x = network(backbone, length, head), hot(3, length)
    with torch.no_grad():
        assert_equal(reader._fast(model, x), naive(model, x))


class Foreign(nn.Module):
    """Layers as others write them: activation before pooling, channel-major flattening."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def read(self, x: Tensor) -> Moments:
        return Moments(mean=self.layers(x))


def batch_norm(channels: int) -> nn.BatchNorm1d:
    layer = nn.BatchNorm1d(channels)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    layer.running_mean.uniform_(-0.5, 0.5)
    layer.running_var.uniform_(0.5, 2)
    return layer


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=-1)


def foreign(kind: str) -> nn.Module:
    torch.manual_seed(0)
    networks: dict[str, list[nn.Module]] = {
        "relu_then_pool": [
            nn.Conv1d(4, 8, 6, padding=3), batch_norm(8), nn.ReLU(), nn.MaxPool1d(3),
            nn.Conv1d(8, 6, 3, padding=2, dilation=2), nn.ELU(), nn.MaxPool1d(2),
            nn.Flatten(), nn.Linear(6 * 6, 5), nn.Tanh(), nn.Linear(5, 2),
        ],
        "no_pool": [nn.Conv1d(4, 8, 5), nn.GELU(), nn.Conv1d(8, 8, 1), nn.Flatten(), nn.Linear(8 * 33, 2)],
        "mean": [nn.Conv1d(4, 8, 5, padding=4), nn.ReLU(), nn.Conv1d(8, 3, 4), nn.Sigmoid(), Mean(), nn.Linear(3, 2)],
        "no_convolution": [nn.MaxPool1d(2), nn.Flatten(), nn.Linear(4 * 18, 2)],
    }  # fmt: skip
    return Foreign(*networks[kind]).eval()


@pytest.mark.parametrize("kind", ["relu_then_pool", "no_pool", "mean", "no_convolution"])
def test_networks_from_elsewhere(kind: str) -> None:
    model, x = foreign(kind), hot(2, 37)
    with torch.no_grad():
        assert_equal(reader._fast(model, x), naive(model, x))


@pytest.mark.parametrize(
    ("layers", "what"),
    [
        ([nn.Conv1d(4, 8, 3, stride=2), nn.Flatten(), nn.Linear(8 * 18, 2)], "stride"),
        ([nn.Conv1d(4, 8, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8 * 35, 2)], "in place"),
        ([nn.Conv1d(4, 8, 3), nn.MaxPool1d(3, 2), nn.Flatten(), nn.Linear(8 * 17, 2)], "overlap"),
        ([nn.Conv1d(4, 8, 3), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(8, 2)], "adaptive"),
    ],
)
def test_what_cannot_be_followed_is_computed_in_full(layers: list[nn.Module], what: str) -> None:
    model, x = Foreign(*layers).eval(), hot(1, 37)
    with pytest.raises(UnsupportedError, match=what):
        read_program(trace(model, x))
    assert_equal(reader.read_mutants(model, x), naive(model, x))


def test_a_recurrent_network_is_computed_in_full() -> None:
    model, x = network("dream_rnn", 20), hot(1, 20)
    assert_equal(reader.read_mutants(model, x), naive(model, x))


def test_a_wrong_fast_result_is_noticed_and_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = network("deepstarr", 32), hot(1, 32)
    correct = reader._write

    def slip(value: Tensor, told: Tensor, *rest: Any) -> None:
        correct(value, told + 0.01, *rest)

    monkeypatch.setattr(reader, "_write", slip)
    assert_equal(reader.read_mutants(model, x), naive(model, x))


def test_n_has_four_mutants() -> None:
    model = network("deepstarr", 32)
    codes = encode(["ACGTN" * 6 + "AC"])
    told = naive(model, one_hot(torch.from_numpy(codes))).mean[:, 0].reshape(32, 4).T
    found = attribute(model, codes, method="ism", target=0)
    np.testing.assert_allclose(found.maps[0], (told - told.mean(0)).numpy(), atol=1e-6)


def test_maps_are_tangermemes() -> None:
    from tangermeme.saturation_mutagenesis import saturation_mutagenesis

    model, codes = foreign("relu_then_pool"), random_codes((2, 37), RNG)
    theirs = saturation_mutagenesis(
        model.layers, one_hot(torch.from_numpy(codes)), target=1, hypothetical=True, device="cpu"
    )
    found = attribute(model, codes, method="ism", target=1)
    np.testing.assert_allclose(found.maps, theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize("chunk", [500, 3000])
def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    model, x = network("mprann", 45), hot(3, 45)
    whole = reader.read_mutants(model, x)
    monkeypatch.setattr("octodon.attribution.fast_ism.phase._CHUNK_NUMBERS", chunk)
    with torch.no_grad():
        np.testing.assert_allclose(reader._fast(model, x).mean, whole.mean, atol=1e-5)
