"""What every attribution method must satisfy; runs over the registry, so that a new file is tested by being there."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from octodon.attribution.attribute import attribute
from octodon.attribution.methods import methods
from octodon.errors import ConfigError
from octodon.seq.codes import random_codes

pytestmark = pytest.mark.parametrize("method", methods.names())

LENGTH = 24
CODES = random_codes((4, LENGTH), np.random.default_rng(0))


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv1d(4, 6, 5, padding=2), nn.Linear(6 * LENGTH // 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x))
        return self.dense(nn.functional.max_pool1d(x, 2).flatten(1))


def against(method: str, shuffles: int) -> dict[str, Any]:
    """The background, of methods that have one."""
    return {"background": shuffles} if methods[method].needs_background else {}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return Network()


def test_maps_are_finite_float32_and_the_same_every_time(method: str, network: nn.Module) -> None:
    first, second = (
        attribute(network, CODES, method=method, target=1, **against(method, 3), seed=5) for _ in range(2)
    )
    assert first.maps.shape == (4, 4, LENGTH)
    assert first.maps.dtype == np.float32
    assert np.isfinite(first.maps).all()
    np.testing.assert_array_equal(first.maps, second.maps)
    assert bool(first.background) == methods[method].needs_background


def test_rows_follow_their_sequences(method: str, network: nn.Module) -> None:
    """Maps move with their rows, random points included."""
    order = np.array([2, 0, 3, 1])
    whole, moved = (
        attribute(network, codes, method=method, target=0, **against(method, 3))
        for codes in (CODES, CODES[order])
    )
    np.testing.assert_allclose(moved.maps, whole.maps[order], atol=1e-6)
    alone = attribute(network, CODES[[2]], method=method, target=0, **against(method, 3))
    np.testing.assert_allclose(alone.maps[0], whole.maps[2], atol=1e-6)


def test_a_background_is_refused_where_it_would_change_nothing(method: str, network: nn.Module) -> None:
    if methods[method].needs_background:
        few, many = (attribute(network, CODES, method=method, target=0, background=k).maps for k in (1, 4))
        assert not np.allclose(few, many)
        return
    with pytest.raises(ConfigError, match=f"background: {method} compares with none"):
        attribute(network, CODES, method=method, target=0, background=3)


def test_only_what_the_output_depends_on_matters(method: str) -> None:
    class Middle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x[:, 1:3, 8:12].sum((1, 2)))[:, None]

    maps = attribute(Middle(), CODES, method=method, **against(method, 3)).maps
    elsewhere = np.r_[0:8, 12:LENGTH]
    np.testing.assert_allclose(maps[:, :, elsewhere], 0, atol=1e-7)
    assert np.abs(maps[:, :, 8:12]).max() > 1e-4


def test_twice_the_output_is_twice_the_map(method: str, network: nn.Module) -> None:
    once, twice = (
        attribute(network, CODES, method=method, output=lambda m, k=k: k * m.mean[:, 0], **against(method, 3))
        for k in (1, 2)
    )
    np.testing.assert_allclose(twice.maps, 2 * once.maps, atol=1e-6)


def test_the_network_comes_back_as_found(method: str, network: nn.Module) -> None:
    network.train()
    before = [value.clone() for value in network.state_dict().values()]
    attribute(network, CODES, method=method, target=0, **against(method, 2))
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, network.state_dict().values(), strict=True))


def test_an_unknown_option_is_refused(method: str, network: nn.Module) -> None:
    with pytest.raises(ConfigError, match=f"options of {method}"):
        attribute(network, CODES, method=method, target=0, options={"no_such_option": 1})
