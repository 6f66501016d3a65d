"""Muon: the library's own Muon as an oracle, singular values, and a training that goes on after a kill."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import LENGTH, TinyBackbone
from torch import nn

from octodon.models.model import Model, ModelConfig, build_model
from octodon.training.checkpoint import Checkpoint
from octodon.training.config import TrainingConfig
from octodon.training.loop import LabelledCodes, fit
from octodon.training.optimiser import Muon, build_optimiser, is_matrix, muon_direction, orthogonalised


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4), (3, 5, 7)])
def test_singular_values_become_one_and_directions_stay(shape: tuple[int, ...]) -> None:
    matrix = torch.randn(shape, dtype=torch.float32, generator=torch.Generator().manual_seed(0))
    got = orthogonalised(matrix)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.linalg.svdvals(got)
    assert values.min() > 0.3  # the smallest directions of a random matrix are still on their way
    assert values.max() < 1.25
    # the same singular vectors: U^T got V is diagonal
    rotated = u.mT @ got @ v.mT
    off = rotated - torch.diag_embed(torch.diagonal(rotated, dim1=-2, dim2=-1))
    assert off.abs().max() < 1e-3


def test_the_scale_of_a_gradient_does_not_matter_and_zero_stays_zero() -> None:
    gradient = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        orthogonalised(gradient), orthogonalised(1000 * gradient), rtol=1e-4, atol=1e-4
    )
    assert torch.equal(orthogonalised(torch.zeros(3, 4)), torch.zeros(3, 4))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_matrix_moves_as_by_the_muon_of_torch(weight_decay: float) -> None:
    oracle = getattr(torch.optim, "Muon", None)
    if oracle is None:
        pytest.skip("this torch has no Muon of its own (2.9 and later have)")
    generator = torch.Generator().manual_seed(2)
    mine = torch.randn(12, 20, generator=generator).requires_grad_()
    theirs = mine.detach().clone().requires_grad_()
    config = TrainingConfig(learning_rate=0.02, optimiser="muon", weight_decay=weight_decay)
    ours = Muon([mine], [torch.zeros(1, requires_grad=True)], config, "bfloat16")
    other = oracle(
        [theirs], lr=0.02, weight_decay=weight_decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    for _ in range(5):
        gradient = torch.randn(12, 20, generator=generator)
        mine.grad, theirs.grad = gradient.clone(), gradient.clone()
        ours.step()
        other.step()
    torch.testing.assert_close(
        mine, theirs, rtol=0, atol=2e-3
    )  # bfloat16 inside; five steps move by about 0.02 each


def test_a_kernel_moves_as_its_matrix_of_outputs_and_members_do_not_mix() -> None:
    kernels = torch.randn(2, 6, 4, 5, generator=torch.Generator().manual_seed(3))
    stacked = muon_direction(kernels, torch.zeros_like(kernels), stacked=True)
    for member, kernel in enumerate(kernels):
        alone = muon_direction(kernel, torch.zeros_like(kernel))
        torch.testing.assert_close(stacked[member], alone, rtol=1e-4, atol=1e-5)
        flat = muon_direction(kernel.flatten(1), torch.zeros(6, 20))
        torch.testing.assert_close(alone.flatten(1), flat, rtol=1e-4, atol=1e-5)
    # as large as a step of Adam: all singular values one, so the root mean square is sqrt(rank / numel) before the scale
    expected = 0.2 * math.sqrt(20) * math.sqrt(6 / (6 * 20))
    assert stacked[0].square().mean().sqrt().item() == pytest.approx(expected, rel=0.2)


def _network(optimiser: Any) -> tuple[Model, TrainingConfig]:
    config = ModelConfig(backbone=TinyBackbone, length=LENGTH, n_targets=2, head="standardised_mean")
    training = TrainingConfig(
        optimiser=optimiser, batch_size=8, epochs=4, schedule="cosine", learning_rate=0.01
    )
    return build_model(config, 0), training


def test_matrices_of_the_backbone_move_by_muon_and_nothing_else() -> None:
    model, training = _network("muon")
    optimiser = build_optimiser(model, training)
    matrices, others = (group["params"] for group in optimiser.param_groups)
    names = {id(value): name for name, value in model.named_parameters()}
    assert matrices
    assert len(matrices) + len(others) == len(names)
    assert all(value.dim() >= 2 and not names[id(value)].startswith("head") for value in matrices)
    assert all(value.dim() < 2 or names[id(value)].startswith("head") for value in others)
    assert isinstance(build_optimiser(*_network("adam")), torch.optim.Adam)
    assert not is_matrix("head.linear.weight", nn.Linear(3, 2).weight)


def _data(n: int = 40) -> LabelledCodes:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 4, (n, LENGTH), generator=generator).to(torch.uint8)
    return LabelledCodes(codes=codes, labels={"activity": torch.randn(n, 2, generator=generator)})


def test_a_killed_training_with_muon_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill_after_two(record: Any) -> None:
        if record.epoch == 2:
            raise Killed

    whole, training = _network("muon")
    fit(whole, _data(), _data(), training, seed=5)
    checkpoint = Checkpoint(path=tmp_path / "state", identity="one")
    broken, _ = _network("muon")
    with pytest.raises(Killed):
        fit(broken, _data(), _data(), training, 5, kill_after_two, checkpoint)
    again, _ = _network("muon")
    history = fit(
        again, _data(), _data(), training, 5, None, Checkpoint(path=tmp_path / "state", identity="one")
    )
    assert len(history) == 4
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_small_matrices_keep_their_digits_and_large_ones_are_multiplied_in_bfloat16() -> None:
    # a product of bfloat16 takes a CPU some 50 microseconds to begin: small ones are faster, and better, in float32
    for side, is_rounded in ((64, False), (256, True)):
        matrix = torch.randn(side, side, generator=torch.Generator().manual_seed(3))
        found = orthogonalised(matrix, "bfloat16")
        assert (found.dtype == torch.bfloat16) == is_rounded
        assert torch.equal(found, orthogonalised(matrix)) != is_rounded
        assert torch.linalg.svdvals(found.float()).max() < 1.3
