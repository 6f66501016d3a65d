"""Dropout of a stack: masks that are Bernoulli, and unrelated between members, epochs, steps, layers and calls."""

from itertools import combinations

import pytest
import torch
from torch import Tensor

from octodon.ensemble.stacked.dropout import StreamDropout, epoch_keys, step_keys

CPU = torch.device("cpu")
SHAPE = (64, 250)
N = 64 * 250


def _kept(layer: StreamDropout, seed: int = 0, epoch: int = 0, step: int = 0) -> Tensor:
    """Return which of 16,000 elements stay, in one more call of a layer."""
    layer.keys = step_keys(epoch_keys([seed], [epoch], CPU), torch.tensor([step]))[0]
    return layer.train()(torch.ones(SHAPE)) != 0


@pytest.mark.parametrize("probability", [0.1, 0.4, 0.5, 0.9])
def test_the_share_that_is_dropped_is_the_probability(probability: float) -> None:
    for step in range(5):
        dropped = (~_kept(StreamDropout(probability, layer=0), step=step)).float().mean().item()
        # five standard errors of a binomial share
        assert abs(dropped - probability) < 5 * (probability * (1 - probability) / N) ** 0.5


def test_what_stays_is_scaled_to_keep_the_mean_and_carries_its_gradient() -> None:
    layer, x = StreamDropout(0.25, layer=0).train(), torch.randn(SHAPE, requires_grad=True)
    y = layer(x)
    kept = y != 0
    torch.testing.assert_close(y, torch.where(kept, x / 0.75, 0.0))
    y.sum().backward()
    torch.testing.assert_close(x.grad, kept / 0.75)


def test_masks_are_unrelated_between_members_epochs_steps_layers_and_calls() -> None:
    def fresh(layer: int = 0) -> StreamDropout:
        return StreamDropout(0.5, layer)

    twice = fresh()
    masks = {
        "first": _kept(twice),
        "call": _kept(twice),
        "member": _kept(fresh(), seed=1),
        "epoch": _kept(fresh(), epoch=1),
        "step": _kept(fresh(), step=1),
        "later": _kept(fresh(), step=3000),
        "layer": _kept(fresh(layer=1)),
    }
    for (a, first), (b, second) in combinations(masks.items(), 2):
        equal = (first == second).float().mean().item()
        assert abs(equal - 0.5) < 5 * (0.25 / N) ** 0.5, (a, b)


def test_neighbours_in_a_mask_are_unrelated() -> None:
    kept = _kept(StreamDropout(0.5, layer=0)).flatten().float() - 0.5
    for lag in (1, 2, 4, 16, 250, 256, 4096):
        correlation = (kept[lag:] * kept[:-lag]).mean().item() * 4
        assert abs(correlation) < 5 / (N - lag) ** 0.5, lag


def test_the_same_seed_epoch_and_step_give_the_same_mask() -> None:
    masks = [_kept(StreamDropout(0.5, layer=2), seed=7, epoch=3, step=5) for _ in range(2)]
    assert torch.equal(*masks)


def test_members_side_by_side_have_the_masks_that_each_has_alone() -> None:
    keys = step_keys(epoch_keys([4, 5, 6], [0, 2, 1], CPU), torch.tensor([9]))
    together = StreamDropout(0.3, layer=1).train()
    together.keys = keys
    found = together(torch.ones(3 * 8, 5, 6)).unflatten(0, (3, 8))
    for member in range(3):
        alone = StreamDropout(0.3, layer=1).train()
        alone.keys = keys[member]
        assert torch.equal(found[member], alone(torch.ones(8, 5, 6)))


def test_evaluation_and_probability_zero_change_nothing() -> None:
    x = torch.randn(3, 4)
    assert StreamDropout(0.5, layer=0).eval()(x) is x
    assert StreamDropout(0.0, layer=0).train()(x) is x
