"""The Triton kernels, interpreted on the CPU, are the plain passes of PyTorch and its Adam."""

import importlib
import os
from types import ModuleType

import pytest
import torch
from torch import Tensor

from octodon.ensemble.stacked import dropout
from octodon.models.kernels import torch_passes

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported
pytest.importorskip("triton", reason="no Triton here: it comes with PyTorch for GPUs")

M, B, L, C, K = 2, 3, 13, 5, 3


@pytest.fixture
def kernels() -> ModuleType:
    """Return the Triton passes, on a GPU compiled and elsewhere interpreted."""
    return importlib.import_module("octodon.models.kernels.triton_passes")


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def _same(ours: object, plain: object, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(ours, plain, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("rows", [7, 300])
def test_the_first_block(kernels: ModuleType, rows: int) -> None:
    torch.set_float32_matmul_precision("highest")
    windows, weight, shift = _draw(M, rows, 16), _draw(M, 16, 2 * 70, seed=1), _draw(M, 70, seed=2)
    _same(kernels.moments(windows), torch_passes.moments(windows), 1e-3)
    _same(kernels.pooled_product(windows, weight, shift), torch_passes.pooled_product(windows, weight, shift))
    gradient = _draw(M, rows, 70, seed=3)
    ours = kernels.pooled_product_gradients(windows, weight, shift, gradient)
    _same(ours, torch_passes.pooled_product_gradients(windows, weight, shift, gradient), 1e-3)


@pytest.mark.parametrize(("length", "size", "left"), [(L, 3, 1), (12, 5, 2), (1, 3, 1), (8, 4, 1)])
def test_the_other_blocks(kernels: ModuleType, length: int, size: int, left: int) -> None:
    parts = _draw(M, B, length, size, C)
    y, sums = kernels.shifted_sum(parts, left)
    _same((y, sums), torch_passes.shifted_sum(parts, left))
    folded = torch.stack([_draw(M, C, seed=1), _draw(M, C, seed=2), _draw(M, C, seed=3), _draw(M, C).abs()])
    _same(
        kernels.normalised_pool(y, folded[0], folded[1]),
        torch_passes.normalised_pool(y, folded[0], folded[1]),
    )
    gradient = _draw(M, B, length // 2, C, seed=4)
    sums = torch_passes.normalised_pool_sums(gradient, y, folded)
    _same(kernels.normalised_pool_sums(gradient, y, folded), sums)
    ours = kernels.shifted_gradients(gradient, y, folded, sums, (size, left))
    _same(ours, torch_passes.shifted_gradients(gradient, y, folded, sums, (size, left)))


@pytest.mark.parametrize("batch", [5, 150])
def test_rows_without_positions(kernels: ModuleType, batch: int) -> None:
    x, rows = _draw(M, batch, 40), _draw(M, 100, seed=1)
    scale, shift = rows[:, :40], rows[:, 60:]  # as in a stack, where the members' weights lie apart
    y, moments = kernels.normalised_rows(x, scale, shift, 1e-3)
    _same((y, moments), torch_passes.normalised_rows(x, scale, shift, 1e-3))
    gradient = _draw(M, batch, 40, seed=3)
    ours = kernels.normalised_rows_gradients(gradient, x, scale, moments, 1e-3)
    _same(ours, torch_passes.normalised_rows_gradients(gradient, x, scale, moments, 1e-3))


def test_many_rows_are_added_up_by_several_programs(
    kernels: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_PROGRAMS", 4)
    parts = _draw(M, 40, L, K, C)
    y, sums = kernels.shifted_sum(parts, 1)
    _same((y, sums), torch_passes.shifted_sum(parts, 1), 1e-3)


def test_of_two_equal_positions_the_first_gets_the_gradient(kernels: ModuleType) -> None:
    y = torch.ones(1, 1, 4, 16, device=DEVICE)
    folded = torch.stack([torch.ones(1, 16), torch.zeros(1, 16), torch.zeros(1, 16), torch.ones(1, 16)])
    gradient = torch.ones(1, 1, 2, 16, device=DEVICE)
    sums = torch.zeros(1, 2, 16, device=DEVICE)  # as if BatchNorm passed everything on
    parts = kernels.shifted_gradients(gradient, y, folded.to(DEVICE), sums, (1, 0))
    assert parts[0, 0, :, 0, 0].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("probability", [0.0, 0.4])
def test_dropout_drops_what_the_plain_one_drops(probability: float) -> None:
    kernel = importlib.import_module("octodon.models.kernels.hashed_dropout")
    keys = dropout.epoch_keys([3, 4], [0, 1], torch.device(DEVICE))
    places = dropout._hash_places(torch.Size([7, 300]), 2, torch.device(DEVICE))
    x = _draw(M, 7, 300)
    keep = dropout._keep(places, keys, probability)
    expected = x * keep / (1 - probability)
    how = (dropout._threshold(probability), 1 / (1 - probability))
    wide = torch.zeros(M, 64, dtype=torch.int32, device=DEVICE)  # as in a stack: keys lie apart
    wide[:, :2] = keys
    _same(kernel.dropped(x.flatten(1), places.flatten(), wide[:, :2], how).view_as(x), expected)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_is_that_of_pytorch(decay: float) -> None:
    adam = importlib.import_module("octodon.models.kernels.adam")
    weights, rates = _draw(M, 1500), torch.tensor([1e-2, 3e-3], device=DEVICE)
    mine, theirs = weights.clone(), [row.clone().requires_grad_() for row in weights]
    means, squares = torch.zeros_like(mine), torch.zeros_like(mine)
    kind = torch.optim.AdamW if decay else torch.optim.Adam
    optimisers = [
        kind([row], lr=rate, eps=1e-7, weight_decay=decay)
        for row, rate in zip(theirs, rates.tolist(), strict=True)
    ]
    for step in range(1, 4):
        gradients = _draw(M, 1500, seed=step)
        for row, gradient, optimiser in zip(theirs, gradients, optimisers, strict=True):
            row.grad = gradient.clone()
            optimiser.step()
        steps = torch.full((M,), float(step), device=DEVICE)
        adam.move_rows(mine, gradients, (means, squares), steps, rates, (0.9, 0.999, 1e-7, decay))
    _same(mine, torch.stack([row.detach() for row in theirs]), 1e-5)
