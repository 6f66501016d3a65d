"""Attribution against closed forms, captum and tangermeme, and the completeness that the methods promise."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from octodon.attribution.attribute import attribute
from octodon.attribution.methods import methods
from octodon.models.model import Model, ModelConfig, build_model
from octodon.seq.codes import random_codes
from octodon.seq.onehot import one_hot

LENGTH = 40
CODES = random_codes((3, LENGTH), np.random.default_rng(0))
REFERENCES = random_codes((4, LENGTH), np.random.default_rng(1))
X = one_hot(torch.from_numpy(CODES)).contiguous()
R = one_hot(torch.from_numpy(REFERENCES)).contiguous()


class Linear(nn.Module):
    """The sum of a weight per base and position, plus a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, LENGTH, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        return ((x * self.weight).sum((1, 2)) + 3.0)[:, None]


class Functional(nn.Module):
    """A small residual network written with functions, as ours are."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(4, 6, 5, padding=2), nn.Conv1d(6, 6, 3, padding=1)
        self.dense, self.last = nn.Linear(6 * (LENGTH // 4), 8), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.nn.functional.silu(self.first(x))
        x = torch.relu(x + self.second(x))
        x = torch.nn.functional.max_pool2d(x.unsqueeze(2), (1, 4)).squeeze(2)
        return self.last(torch.sigmoid(self.dense(x.flatten(1))))


class Modules(nn.Module):
    """The same network with modules, which other tools can hook."""

    def __init__(self, of: Functional) -> None:
        super().__init__()
        self.of, self.silu, self.relu = of, nn.SiLU(), nn.ReLU()
        self.pool, self.sigmoid = nn.MaxPool1d(4), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        x = self.silu(self.of.first(x))
        x = self.pool(self.relu(x + self.of.second(x)))
        return self.of.last(self.sigmoid(self.of.dense(x.flatten(1))))


def functional() -> Functional:
    torch.manual_seed(0)
    return Functional().double().float().eval()


def network(backbone: str, head: str = "distilled", length: int = LENGTH) -> Model:
    """A network whose BatchNorm statistics are those of some data, as after training."""
    model = build_model(
        ModelConfig(backbone=backbone, length=length, n_targets=2, head=head, options={"width": 0.1}), 0
    )
    with torch.no_grad():
        generator = np.random.default_rng(2)
        for _ in range(60):
            model(one_hot(torch.from_numpy(random_codes((32, length), generator))))
    return model.eval()


@pytest.mark.parametrize("method", sorted(methods))
def test_a_linear_model_has_its_weights_as_map(method: str) -> None:
    model = Linear()
    found = attribute(
        model, CODES, method=method, background=REFERENCES if methods[method].needs_background else None
    )
    weight = model.weight.detach().numpy()
    expected = {
        "saliency": np.broadcast_to(weight, found.maps.shape),
        "gradient_x_input": np.broadcast_to(weight - weight.mean(0), found.maps.shape),
        "ism": np.broadcast_to(weight - weight.mean(0), found.maps.shape),
    }
    against_references = (weight - (R.numpy() * weight).sum(1, keepdims=True)).mean(0)
    wanted = expected.get(method, np.broadcast_to(against_references, found.maps.shape))
    np.testing.assert_allclose(found.maps, wanted, atol=1e-5)
    assert found.fallback == ""


@pytest.mark.parametrize("method", ["deep_lift_shap", "integrated_gradients", "gradient_shap"])
def test_a_linear_model_is_explained_completely(method: str) -> None:
    model = Linear()
    found = attribute(model, CODES, method=method, background=5, seed=1)
    assert found.deltas is not None
    np.testing.assert_allclose(found.deltas, 0, atol=1e-4)


def test_integrated_gradients_are_captums() -> None:
    from captum.attr import IntegratedGradients

    model = functional()
    found = attribute(
        model, CODES, method="integrated_gradients", background=REFERENCES, options={"steps": 8}
    )
    theirs = torch.stack(
        [
            IntegratedGradients(model).attribute(
                X, reference[None].expand_as(X), target=0, n_steps=8, method="gausslegendre"
            )
            for reference in R
        ]
    ).mean(0)
    # captum returns (x - reference) * gradient for each base; its sum over bases is the contribution of the position.
    np.testing.assert_allclose(found.observed, theirs.sum(1).detach().numpy(), atol=2e-6)


def test_gradient_shap_nears_integrated_gradients() -> None:
    model = functional()
    exact = attribute(
        model, CODES, method="integrated_gradients", background=REFERENCES, options={"steps": 16}
    )
    random = attribute(model, CODES, method="gradient_shap", background=REFERENCES, options={"samples": 300})
    assert np.abs(exact.maps - random.maps).max() < 0.15 * np.abs(exact.maps).max()
    again = attribute(model, CODES, method="gradient_shap", background=REFERENCES, seed=3)
    same = attribute(model, CODES, method="gradient_shap", background=REFERENCES, seed=3)
    np.testing.assert_array_equal(again.maps, same.maps)


def test_deep_lift_of_functions_is_tangermemes_of_modules() -> None:
    from tangermeme.deep_lift_shap import deep_lift_shap

    model = functional()
    found = attribute(model, CODES, method="deep_lift_shap", background=REFERENCES)
    theirs = deep_lift_shap(
        Modules(model), X, references=R[None].expand(3, -1, -1, -1), hypothetical=True, device="cpu"
    )
    assert found.fallback == ""
    np.testing.assert_allclose(found.maps, theirs.numpy(), atol=1e-6)


@pytest.mark.parametrize("output", ["activity", "epistemic_std"])
@pytest.mark.parametrize("backbone", ["deepstarr", "mprann", "residualbind"])
def test_deep_lift_explains_our_networks_completely(backbone: str, output: str) -> None:
    model = network(backbone)
    found = attribute(model, CODES, method="deep_lift_shap", output=output, target=1, background=REFERENCES)
    assert found.fallback == ""
    with torch.no_grad():
        told, background = (
            getattr(model.read(x), "mean" if output == "activity" else output)[:, 1] for x in (X, R)
        )
    expected = (told - background.mean()).numpy()
    np.testing.assert_allclose(found.observed.sum(1), expected, atol=0.01 * np.abs(expected).max() + 1e-6)


def test_a_recurrent_network_falls_back_and_says_so() -> None:
    found = attribute(network("dream_rnn", length=24), CODES[:, :24], target=0, background=REFERENCES[:, :24])
    assert found.fallback.startswith("integrated_gradients")
    assert found.deltas is not None
    told = found.observed.sum(1)
    np.testing.assert_allclose(found.deltas[0], 0, atol=0.1 * np.abs(told).max())


def test_every_method_leaves_the_model_as_found() -> None:
    model = network("deepstarr").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for method in methods:
        attribute(
            model, CODES, method=method, target=0, background=2 if methods[method].needs_background else None
        )
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
