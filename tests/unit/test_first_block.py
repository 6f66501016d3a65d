"""The first block in one step equals the plain layers of PyTorch, computed in float64."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from octodon.models import layers
from octodon.models.first_block import first_block
from octodon.seq.onehot import one_hot


def _layers(seed: int = 0, bias: bool = True, size: int = 7) -> tuple[layers.Conv1d, layers.BatchNorm1d]:
    """Return layers whose BatchNorm has scales of both signs: pooling does not commute with a negative one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        conv, norm = (
            layers.Conv1d(4, 24, size, padding="same", bias=bias),
            layers.BatchNorm1d(24, momentum=0.9),
        )
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        nn.init.normal_(norm.running_mean)
    return conv, norm


def _sequences(length: int, n: int = 40) -> Tensor:
    return one_hot(torch.randint(5, (n, length), generator=torch.Generator().manual_seed(1)).to(torch.uint8))


def _reference(conv: nn.Conv1d, norm: nn.BatchNorm1d) -> nn.Sequential:
    """Return PyTorch's own layers in float64, in the published order: ReLU, then pooling."""
    bias = conv.bias is not None
    plain = nn.Sequential(
        nn.Conv1d(4, 24, conv.kernel_size[0], padding="same", bias=bias),
        nn.BatchNorm1d(24, eps=1e-3, momentum=0.9),
        nn.ReLU(),
        nn.MaxPool1d(2),
    ).double()
    plain[0].load_state_dict(conv.state_dict())
    plain[1].load_state_dict(norm.state_dict())
    return plain.train(norm.training)


@pytest.mark.parametrize("length", [8, 35, 144, 145])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_output_gradients_and_statistics(length: int, training: bool, bias: bool, noise: float) -> None:
    conv, norm = _layers(bias=bias)
    norm.train(training)
    reference = _reference(conv, norm)
    x = _sequences(length)
    x = x + noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    weights = torch.randn(40, 24, length // 2, generator=torch.Generator().manual_seed(3))
    got, expected = first_block(x, conv, norm), reference(x.double())
    (got * weights).sum().backward()
    (expected * weights.double()).sum().backward()

    def close(ours: Tensor | None, theirs: Tensor | None) -> None:
        assert ours is not None
        assert theirs is not None
        torch.testing.assert_close(
            ours.double(), theirs, rtol=1e-4, atol=1e-5 * float(theirs.detach().abs().max())
        )

    close(got, expected)
    close(conv.weight.grad, reference[0].weight.grad)
    close(norm.weight.grad, reference[1].weight.grad)
    close(norm.bias.grad, reference[1].bias.grad)
    close(norm.running_mean, reference[1].running_mean)
    close(norm.running_var, reference[1].running_var)
    assert norm.num_batches_tracked == reference[1].num_batches_tracked
    if bias and training:  # BatchNorm cancels it
        assert float(conv.bias.grad.abs().max()) < 1e-4
    elif bias:
        close(conv.bias.grad, reference[0].bias.grad)


@pytest.mark.parametrize("length", [35, 144])
@pytest.mark.parametrize("training", [True, False])
def test_bfloat16_is_as_close_to_float64_as_the_plain_layers_in_bfloat16(length: int, training: bool) -> None:
    x = _sequences(length)
    weights = torch.randn(40, 24, length // 2, generator=torch.Generator().manual_seed(3))

    def computed(way: Callable[[Tensor, nn.Module, nn.Module], Tensor]) -> list[Tensor]:
        conv, norm = _layers()
        norm.train(training)
        with torch.autocast("cpu", torch.bfloat16):
            output = way(x, conv, norm)
        assert output.dtype == torch.bfloat16
        (output * weights).sum().backward()
        gradients = [conv.weight.grad, norm.weight.grad, norm.bias.grad]
        assert norm.running_mean is not None
        assert norm.running_var is not None
        # What the plain layers keep is a mean of rounded numbers.
        torch.testing.assert_close(norm.running_mean, reference[1].running_mean.float(), rtol=3e-3, atol=3e-3)
        torch.testing.assert_close(norm.running_var, reference[1].running_var.float(), rtol=3e-3, atol=3e-3)
        return [output.detach(), *(g for g in gradients if g is not None)]

    conv, norm = _layers()
    norm.train(training)
    reference = _reference(conv, norm)
    output = reference(x.double())
    (output * weights.double()).sum().backward()
    exact = [output.detach(), reference[0].weight.grad, reference[1].weight.grad, reference[1].bias.grad]
    ours = computed(first_block)
    plain = computed(lambda x, conv, norm: torch.relu(layers.max_pool(norm(conv(x)), 2)))
    for got, other, expected in zip(ours, plain, exact, strict=True):
        error, allowed = (
            float((value.double() - expected).norm() / expected.norm()) for value in (got, other)
        )
        assert 1e-5 < error < 2 * max(allowed, 0.002)


def test_bfloat16_keeps_the_statistics_in_float32() -> None:
    kept = []
    for precision in (torch.float32, torch.bfloat16):
        conv, norm = _layers()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            first_block(_sequences(35), conv, norm)
        kept.append((norm.running_mean, norm.running_var))
    for exact, under_autocast in zip(*kept, strict=True):
        torch.testing.assert_close(
            under_autocast, exact, rtol=1e-6, atol=1e-7
        )  # rounded inputs would differ by 1e-3


def test_the_gradient_of_the_input_is_that_of_the_plain_layers() -> None:
    conv, norm = _layers()
    norm.eval()
    x = _sequences(35).requires_grad_()
    weights = torch.randn(40, 24, 17, generator=torch.Generator().manual_seed(3))
    (gradient,) = torch.autograd.grad((first_block(x, conv, norm) * weights).sum(), x)
    wide = x.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad((_reference(conv, norm)(wide) * weights).sum(), wide)
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-4, atol=1e-5)


def test_more_rows_than_one_piece_give_what_each_gives_alone() -> None:
    conv, norm = _layers()
    norm.eval()
    x = _sequences(300, n=20)  # 3,000 pairs of positions
    with torch.no_grad():
        together = first_block(x, conv, norm)
        alone = torch.cat([first_block(row, conv, norm) for row in x.split(1)])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("options", [{"padding": 0}, {"padding": "same", "dilation": 2}])
def test_other_convolutions_run_as_plain_layers(options: dict[str, object]) -> None:
    conv, norm = layers.Conv1d(4, 24, 7, **options), layers.BatchNorm1d(24)
    plain_conv, plain_norm = copy.deepcopy(conv), copy.deepcopy(norm)
    x = _sequences(31)
    expected = nn.functional.max_pool1d(plain_norm(plain_conv(x)), 2).relu()
    torch.testing.assert_close(first_block(x, conv, norm), expected)


def test_members_stacked_with_vmap_give_what_each_gives_alone() -> None:
    members = [_layers(seed) for seed in range(3)]
    for _, norm in members:
        norm.eval()
    x = _sequences(36, n=5)
    conv, norm = copy.deepcopy(members[0])

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = conv, norm

        def forward(self, x: Tensor) -> Tensor:
            return first_block(x, self.conv, self.norm)

    block = Block()
    states = [
        {f"conv.{k}": v for k, v in c.state_dict().items()}
        | {f"norm.{k}": v for k, v in b.state_dict().items()}
        for c, b in members
    ]
    stacked = {key: torch.stack([state[key] for state in states]) for key in states[0]}
    with torch.no_grad():
        alone = torch.stack([first_block(x, c, b) for c, b in members])
        together = torch.func.vmap(lambda state: torch.func.functional_call(block, state, (x,)))(stacked)
    torch.testing.assert_close(together, alone)
