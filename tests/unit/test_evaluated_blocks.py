"""The blocks with few passes, evaluated, are the layers one after another."""

import pytest
import torch
from torch import nn

from octodon.models import layers
from octodon.models.kernels import evaluated


def _block(inputs: int, outputs: int, size: int, seed: int = 0) -> tuple[nn.Conv1d, nn.BatchNorm1d]:
    torch.manual_seed(seed)
    conv, norm = layers.Conv1d(inputs, outputs, size, padding="same"), layers.BatchNorm1d(outputs)
    with torch.no_grad():
        for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
            assert value is not None
            value.uniform_(0.5, 2)
    return conv.double().eval(), norm.double().eval()


@pytest.mark.parametrize("length", [16, 17, 2])
@pytest.mark.parametrize("size", [7, 1])
def test_two_blocks_in_a_row(length: int, size: int) -> None:
    x = torch.randn(5, 4, length, dtype=torch.float64)
    first, second = _block(4, 13, size), _block(13, 6, 3, seed=1)
    with torch.inference_mode():
        expected = layers.plain_block(x, *first)
        got = evaluated.first_block(x, *first)
        torch.testing.assert_close(got, expected)
        if expected.shape[2] > 1:
            torch.testing.assert_close(
                evaluated.pooled_block(got, *second), layers.plain_block(expected, *second)
            )
            # without what the block before left: as they are
            torch.testing.assert_close(
                evaluated.pooled_block(expected, *second), layers.plain_block(expected, *second)
            )


def test_it_applies_on_a_gpu_only() -> None:
    assert not evaluated.applies(torch.zeros(1, 4, 16), *_block(4, 8, 7))
