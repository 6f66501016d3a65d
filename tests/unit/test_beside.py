"""A head may ask for a second backbone: beside the first, narrower, and trained by what the head sends there."""

import pytest
import torch
from tiny import TinyBackbone

from octodon.models.beside import Beside, is_second, narrower
from octodon.models.heads import heads
from octodon.models.model import Model, ModelConfig, build_model
from octodon.training.best import keep_best
from octodon.training.config import TrainingConfig
from octodon.training.loop import LabelledCodes, fit, set_layers, validation_losses

APART = "replicate_variance_apart"
LENGTH = 24


def _model(backbone: str | type = "deepstarr", head: str = APART, **options: float) -> Model:
    return build_model(
        ModelConfig(backbone=backbone, length=LENGTH, n_targets=2, head=head, options=options), seed=0
    )


def _x(n: int = 16) -> torch.Tensor:
    bases = torch.randint(0, 4, (n, LENGTH), generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.one_hot(bases, 4).transpose(1, 2).float()


@pytest.mark.parametrize("column", [0, 1])
def test_each_column_trains_its_own_backbone_alone(column: int) -> None:
    model = _model(width=0.2)
    assert isinstance(model.backbone, Beside)
    model(_x())[:, column].square().sum().backward()
    own, other = (model.backbone.first, model.backbone.second)[:: 1 if column == 0 else -1]
    assert all(p.grad is not None for p in own.parameters())
    assert all(p.grad is None or not p.grad.any() for p in other.parameters())


@pytest.mark.parametrize("backbone", [TinyBackbone, "deepstarr"])
def test_the_activity_is_bit_for_bit_what_it_would_be_without_a_second_backbone(backbone: str | type) -> None:
    # So that the noise costs the activity nothing: not its first weights, not its dropout, not its best epoch.
    (train, valid), options = _splits(), {} if backbone is TinyBackbone else {"width": 0.1}
    config = TrainingConfig(epochs=3, batch_size=16, learning_rate=0.01, precision="float32")
    kept = []
    for head, prefix in (("replicate_variance", "backbone."), (APART, "backbone.first.")):
        model = _model(backbone, head, **options)
        history = fit(model, train, valid, config, seed=5)
        weights = model.state_dict()
        kept.append({name: weights[prefix + name] for name in _names(weights, prefix)})
        kept[-1]["activity"] = weights["head.linear.weight"][:2]
        kept[-1]["losses"] = torch.tensor([record.valid_loss for record in history])
    alone, beside = kept
    assert len(alone) > 5
    assert all(torch.equal(alone[name], beside[name]) for name in alone)


def _names(weights: dict[str, torch.Tensor], prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in weights if name.startswith(prefix)]


def test_the_second_backbone_is_narrower_where_the_backbone_has_a_width() -> None:
    share = heads[APART].second_width
    assert share is not None
    weights = _model(width=0.5).state_dict()
    assert len(weights["backbone.second.convs.0.weight"]) == round(256 * 0.5 * share)
    assert narrower(TinyBackbone, {"channels": 4}, 0.5) == {"channels": 4}

    class Channels(TinyBackbone):
        def __init__(self, length: int, width: int = 9) -> None:
            super().__init__(length, channels=width)

    assert narrower(Channels, {}, 0.5) == {"width": 4}  # a number of channels stays whole
    assert narrower(Channels, {"width": 1}, 0.5) == {"width": 1}
    tiny = _model(TinyBackbone, channels=4)
    assert tiny(_x()).shape == (16, 2, 2)


def test_the_noise_follows_what_the_activity_does_not_depend_on() -> None:
    # The activity is the share of A, the log of the noise that of G.
    generator = torch.Generator().manual_seed(2)
    x = _x(2048)
    activity = 4 * x[:, 0].mean(1, keepdim=True).repeat(1, 2)
    std = 0.1 * torch.exp(6 * x[:, 2].mean(1))
    replicates = activity[:, :, None] + std[:, None, None] * torch.randn(len(x), 2, 3, generator=generator)
    labels = {"activity": replicates.mean(2), "replicates": replicates}
    model = _model(TinyBackbone, dropout=0.0)
    model.head.fit_scale(labels)
    set_layers(model, TrainingConfig())
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(12):
        for rows in torch.randperm(len(x), generator=generator).split(128):
            optimiser.zero_grad()
            some = {name: value[rows] for name, value in labels.items()}
            model.head.loss(model(x[rows]), some).mean().backward()
            optimiser.step()
    with torch.no_grad():
        said = model.eval().read(x).aleatoric_std
    assert said is not None
    for target in range(2):
        assert torch.corrcoef(torch.stack([said[:, target].log(), std.log()]))[0, 1] > 0.9
        assert (said[:, target].log() - std.log()).mean().abs() < 0.1


def test_the_second_backbone_is_kept_from_its_own_best_epoch() -> None:
    weights = [
        {"backbone.first.w": torch.tensor(float(k)), "head.second.b": torch.tensor(float(k))}
        for k in range(4)
    ]
    best = keep_best({}, weights[0], True, True)
    best = keep_best(best, weights[1], False, True)
    best = keep_best(best, weights[2], True, False)
    best = keep_best(best, weights[3], False, False)
    assert {name: float(value) for name, value in best.items()} == {
        "backbone.first.w": 2.0,
        "head.second.b": 1.0,
    }
    alone = keep_best({}, {"backbone.second.w": torch.tensor(3.0)}, True, None)  # a part of one backbone
    assert float(alone["backbone.second.w"]) == 3.0
    weights[1]["head.second.b"] += 5  # the live weights go on
    assert float(best["head.second.b"]) == 1.0


def _splits(n: int = 240) -> tuple[LabelledCodes, LabelledCodes]:
    codes = torch.randint(0, 4, (n, LENGTH), generator=torch.Generator().manual_seed(3)).to(torch.uint8)
    generator = torch.Generator().manual_seed(4)
    activity = (codes == 0).float().mean(1)[:, None].repeat(1, 2)
    replicates = activity[:, :, None] + 0.1 * torch.randn(n, 2, 3, generator=generator)
    labels = {"activity": replicates.mean(2), "replicates": replicates}
    return tuple(  # type: ignore[return-value]
        LabelledCodes(codes=codes[rows], labels={name: value[rows] for name, value in labels.items()})
        for rows in (slice(0, n // 2), slice(n // 2, n))
    )


def test_without_two_replicates_in_any_validation_row_the_noise_of_the_last_epoch_is_kept() -> None:
    (train, valid), model = _splits(), _model(TinyBackbone)
    valid.labels["replicates"][:, :, 1:] = torch.nan
    config = TrainingConfig(epochs=4, batch_size=16, learning_rate=0.05, schedule="cosine")
    states: list[dict[str, torch.Tensor]] = []

    def remember(_: object) -> None:
        states.append({name: value.clone() for name, value in model.state_dict().items()})

    history = fit(model, train, valid, config, seed=0, on_epoch=remember)
    assert [record.second_loss for record in history] == [0.0] * 4
    kept = {name: value for name, value in model.state_dict().items() if is_second(name)}
    assert all(torch.equal(value, states[-1][name]) for name, value in kept.items())
    assert not torch.equal(kept["head.second.weight"], states[0]["head.second.weight"])


def test_each_best_epoch_is_that_of_its_own_validation_loss() -> None:
    (train, valid), model = _splits(), _model(TinyBackbone)
    config = TrainingConfig(
        epochs=6, batch_size=16, learning_rate=0.05, schedule="cosine", precision="float32"
    )
    history = fit(model, train, valid, config, seed=0)
    first, second = validation_losses(model, valid)
    assert first == pytest.approx(min(record.valid_loss for record in history), rel=1e-6)
    assert second == pytest.approx(min(record.second_loss or 9.0 for record in history), rel=1e-6)
    assert {record.epoch for record in history if record.is_best} != {
        record.epoch for record in history if record.is_best_second
    }
