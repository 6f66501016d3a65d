"""A lowered network is the network: every backbone and head, any sequences, any length, any batch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from octodon.models import lowering
from octodon.models.backbones import backbones
from octodon.models.heads import heads
from octodon.models.inference import read_in_batches
from octodon.models.inference_gpu import read_on_gpu
from octodon.models.lowering import lower, lowered
from octodon.models.lowering.kmer_table import KmerTable
from octodon.models.model import Model, ModelConfig, build_model
from octodon.seq.onehot import one_hot

MANY = 10**7  # sequences enough for any table
every_backbone = pytest.mark.parametrize("backbone", list(backbones))
TABLED = ("deepstarr", "mprann")


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    lowered._kept.clear()
    yield
    lowered._kept.clear()


def fitted(backbone: str | type, length: int, head: str = "distilled", **options: Any) -> Model:
    """Return a small network in evaluation mode none of whose numbers is at its start."""
    options = {"width": 0.05} | options if isinstance(backbone, str) else options
    config = ModelConfig(backbone=backbone, length=length, n_targets=3, head=head, options=options)
    model = build_model(config, seed=3)
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.copy_(0.2 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
        for name in ("weight", "bias"):
            value = getattr(module, name, None)
            if name == "weight" and isinstance(module, nn.Conv1d):
                module.weight.data.mul_(4)  # an untrained softmax hardly tells sequences apart
            if isinstance(value, Tensor) and value.dim() == 1:
                value.data.add_(0.3 * torch.randn(value.shape, generator=generator))
    return model.eval().requires_grad_(False)


def sequences(n: int, length: int, n_share: float = 0.0, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (n, length), dtype=np.uint8)
    codes[rng.random((n, length)) < n_share] = 4
    return torch.from_numpy(codes)


def assert_same(model: Model, codes: Tensor, made: lowering.Lowered | None) -> None:
    assert made is not None
    with torch.inference_mode():
        expected, got = model.backbone(one_hot(codes)), made.features(codes)
        scale = float(expected.abs().max())
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5 * scale)
        assert (
            float(expected.std(0, correction=0).max()) > 1e-4 * scale
        )  # rows differ, so a mix-up would show


@every_backbone
@pytest.mark.parametrize("length", [62, 63])
def test_features_are_those_of_the_network(backbone: str, length: int) -> None:
    model = fitted(backbone, length)
    made = lower(model, MANY, length)
    assert made is not None
    assert (made.table is not None) == (backbone in TABLED)
    for n_share in (0.0, 0.02, 1.0):
        codes = sequences(9, length, n_share)
        codes[0] = 3  # one sequence differs from the rest even where all else is N
        assert_same(model, codes, made)
    codes = sequences(70, length, 0.01)
    with torch.inference_mode():
        whole = made.features(codes)
        for batch in (1, 7, 64):
            parts = torch.cat([made.features(part) for part in codes.split(batch)])
            torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))


def test_a_second_backbone_has_a_table_of_its_own() -> None:
    model = fitted("deepstarr", 61, "replicate_variance_apart", width=0.2)
    made = lower(model, MANY, 61)
    assert made is not None
    assert made.second is not None
    assert isinstance(made.table, KmerTable)
    assert isinstance(made.second.table, KmerTable)
    assert_same(model, sequences(9, 61, 0.02), made)
    assert lower(model, MANY + 1, 61) is made
    few = lower(model, lowered.WORTH_SEQUENCES, 61)
    assert few is not None
    assert few.table is None


@pytest.mark.parametrize("head", list(heads))
def test_moments_of_every_head(head: str) -> None:
    model = fitted("deepstarr", 61, head)
    codes = sequences(lowered.WORTH_SEQUENCES, 61, 0.01).numpy()
    with torch.inference_mode():
        expected = model.read(one_hot(torch.from_numpy(codes)))
    got = read_in_batches(model, codes)
    assert set(got) == {name for name, value in vars(expected).items() if value is not None}
    for name, values in got.items():
        said = getattr(expected, name)
        np.testing.assert_allclose(values, said.numpy(), rtol=1e-5, atol=1e-5 * float(said.abs().max()))


@pytest.mark.parametrize("length", [16, 17, 250])
def test_lengths_from_the_shortest_up(length: int) -> None:
    model = fitted("deepstarr", length)
    made = lower(model, MANY, length)
    assert made is not None
    assert made.table is not None
    assert_same(model, sequences(12, length, 0.03), made)


class TwoConvolutions(nn.Module):
    """A user's own backbone: PyTorch's layers, pooling after ReLU, every kind of padding and dilation."""

    def __init__(self, length: int, size: int = 5, pool: int = 2, **options: Any) -> None:
        super().__init__()
        first = {name.removeprefix("first_"): v for name, v in options.items() if name.startswith("first_")}
        second = {
            name.removeprefix("second_"): v for name, v in options.items() if name.startswith("second_")
        }
        self.body = nn.Sequential(
            nn.Conv1d(4, 6, size, **first),
            nn.BatchNorm1d(6),
            nn.ReLU(),
            nn.MaxPool1d(pool) if pool > 1 else nn.Identity(),
            nn.Dropout(0.3),
            nn.Conv1d(6, 5, **({"kernel_size": 3} | second)),
            nn.BatchNorm1d(5),
            nn.GELU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).mean(2)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": 4, "first_padding": "same"},
        {"size": 3, "pool": 3, "first_padding": 2, "second_padding": "same"},
        {"size": 3, "pool": 1, "first_dilation": 2, "first_padding": "same", "second_dilation": 3},
        {"size": 3, "pool": 4, "second_kernel_size": 4, "second_padding": "same", "second_bias": False},
        {"size": 2, "pool": 2, "first_bias": False, "second_padding": 1, "second_kernel_size": 5},
    ],
)
@pytest.mark.parametrize("length", [31, 40])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # of PyTorch's own layers
def test_a_user_s_network_gains_too(options: dict[str, Any], length: int) -> None:
    model = fitted(TwoConvolutions, length)
    model.backbone = TwoConvolutions(length, **options)
    model.eval()
    fill = torch.Generator().manual_seed(2)
    for norm in (model.backbone.body[1], model.backbone.body[6]):
        norm.running_mean.copy_(0.2 * torch.randn(norm.running_mean.shape, generator=fill))
    made = lower(model.requires_grad_(False), MANY, length)
    assert made is not None
    assert made.table is not None
    assert_same(model, sequences(20, length, 0.02), made)


class Branches(nn.Module):
    """A backbone whose steps depend on the numbers."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y.mean(2) if float(y.detach().sum()) > 0 else y.amax(2)


class Skips(nn.Module):
    """A backbone where a table cannot stand for the start: the sequence is read twice."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(4, 5, 3, padding=1), nn.Conv1d(5, 5, 3, padding=1)
        self.by_base = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x))).amax(2) + self.by_base(x.mean(2))


class Draws(nn.Module):
    """A backbone that is followed wrongly: what it draws is another number each time."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 5, 3)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.conv(x).mean(2) * self.calls


def test_what_cannot_be_followed_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    assert lower(fitted(Branches, 30), MANY, 30) is None
    model = fitted(Skips, 30)
    made = lower(model, MANY, 30)
    assert made is not None
    assert made.table is None
    assert_same(model, sequences(5, 30), made)
    assert not caplog.records
    assert lower(fitted(Draws, 30), MANY, 30) is None
    assert "Draws is not lowered: the lowered form differs" in caplog.text


class ByName(nn.Module):
    """A backbone whose layers are given their input by name."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv1d(4, 5, 3), nn.BatchNorm1d(5), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(input=self.drop(input=self.norm(input=self.conv(x))), dim=1).amax(2)


class NormsPositions(nn.Module):
    """A backbone that normalises each position of what a linear layer gives, not its columns."""

    def __init__(self, length: int, width: int = 6) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(4, width), nn.BatchNorm1d(length)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x.transpose(1, 2))).flatten(1)


class NormsAsMany(NormsPositions):
    """The same with as many positions as columns."""

    def __init__(self, length: int) -> None:
        super().__init__(length, width=length)


class _Bounded(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.clamp(-0.1, 0.1)


class BoundedWeights(nn.Module):
    """A backbone whose weights cannot be set: they are made of others."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(4, 5, 3), nn.BatchNorm1d(5)
        register_parametrization(self.conv, "weight", _Bounded())

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).amax(2)


@pytest.mark.parametrize("backbone", [ByName, NormsPositions, NormsAsMany, BoundedWeights])
def test_any_backbone_of_a_user_answers_for_many_sequences(backbone: type) -> None:
    model = build_model(ModelConfig(backbone=backbone, length=30, n_targets=2), seed=0)
    codes = sequences(lowered.WORTH_SEQUENCES, 30)
    with torch.no_grad():
        model.train()(one_hot(codes))  # statistics that are not those of a fresh network
        expected = model.eval().read(one_hot(codes)).mean
    got = read_in_batches(model, codes.numpy())["mean"]
    np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-5)
    on_gpu = read_on_gpu(model, codes.numpy(), batch_size=100)  # the same code, on this processor
    np.testing.assert_allclose(torch.cat([one.mean for one in on_gpu]), expected, rtol=1e-4, atol=1e-5)
    assert expected.std(0, correction=0).min() > 1e-3


def test_few_sequences_another_precision_and_hooks_stay_as_they_are() -> None:
    model = fitted("deepstarr", 61)
    assert lower(model, lowered.WORTH_SEQUENCES - 1, 61) is None
    assert lower(fitted("deepstarr", 61).double(), MANY, 61) is None
    assert lower(fitted("deepstarr", 61).train(), MANY, 61) is None
    handle = model.backbone.register_forward_hook(lambda *_: None)
    assert lower(model, MANY, 61) is None
    handle.remove()
    made = lower(model, lowered.WORTH_SEQUENCES, 61)
    assert made is not None
    assert made.table is None  # 4^8 rows for 256 x 30 positions


def test_the_network_is_left_as_it_was() -> None:
    model = fitted("deepstarr", 61).requires_grad_()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    layers = str(model)
    lower(model, MANY, 61)
    assert str(model) == layers
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("change", ["in place", "behind autograd's back", "a layer", "the statistics"])
def test_a_network_that_changes_is_lowered_anew(change: str) -> None:
    model = fitted(TwoConvolutions, 31)
    body: Any = model.backbone.body
    first = lower(model, MANY, 31)
    assert lower(model, MANY + 1, 31) is first  # kept while nothing changes
    if change == "in place":
        nn.init.normal_(body[0].weight)
    elif change == "behind autograd's back":
        body[5].weight.data.mul_(2)
    elif change == "a layer":
        body[6].eps = 0.5
    else:
        body[1].running_mean.add_(1)
    again = lower(model, MANY, 31)
    assert again is not first
    assert_same(model, sequences(5, 31), again)


def test_what_is_kept_does_not_decide_how_a_call_is_answered() -> None:
    model, codes = fitted("deepstarr", 61), sequences(300, 61).numpy()
    expected = read_in_batches(model, codes)["mean"]
    lower(model, MANY, 61)
    np.testing.assert_array_equal(read_in_batches(model, codes)["mean"], expected)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_no_bit(threads: int) -> None:
    model, codes = fitted("deepstarr", 61), sequences(700, 61, 0.001).numpy()
    before = torch.get_num_threads()
    expected = read_in_batches(model, codes)["mean"]
    try:
        torch.set_num_threads(threads)
        got = read_in_batches(model, codes)["mean"]
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(got, expected)


def test_a_table_holds_the_terms_of_the_second_convolution() -> None:
    # One tap, one channel, no pooling: the output is w2 * relu(w1 . bases) + b2, and can be written down.
    model = fitted(TwoConvolutions, 12)
    body = [nn.Conv1d(4, 1, 2), nn.ReLU(), nn.Conv1d(1, 1, 1)]
    body[0].weight = nn.Parameter(torch.tensor([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [-99.0, 40.0]]]))
    body[0].bias = nn.Parameter(torch.tensor([0.5]))
    body[2].weight = nn.Parameter(torch.full((1, 1, 1), 2.0))
    body[2].bias = nn.Parameter(torch.tensor([7.0]))
    backbone: Any = model.backbone
    backbone.body = nn.Sequential(*body)
    made = lower(model.eval().requires_grad_(False), MANY, 6)
    assert made is not None
    assert isinstance(made.table, KmerTable)
    got = made.table(torch.tensor([[0, 1, 3, 0, 4, 2]], dtype=torch.uint8))
    # AC 1+20, CT 2+40, TA -99+10 -> 0, AN 1, NG 30; each + 0.5, times 2, + 7
    assert got.flatten().tolist() == [50.0, 92.0, 7.0, 10.0, 68.0]
