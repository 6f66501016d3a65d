"""What every strategy promises: a member of a stack is the network that it would be alone."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from tiny import LENGTH, LinearBackbone, TinyBackbone
from torch import Tensor

from octodon.ensemble.stacked.replace_modules import with_streams
from octodon.ensemble.stacked.state import StackState
from octodon.ensemble.stacked.step import MemberEpoch, Stepper
from octodon.ensemble.stacked.strategies import strategies
from octodon.ensemble.stacked.unsuitable import Unsuitable
from octodon.ensemble.stacked.validate import validation_losses
from octodon.models.heads import heads
from octodon.models.model import Model, ModelConfig, build_model
from octodon.seq.onehot import one_hot
from octodon.training.config import TrainingConfig
from octodon.training.loop import LabelledCodes, fit, mean_loss, set_layers
from octodon.training.schedule import Schedule

ON_CPU = [name for name in strategies if not (strategies[name].only_cuda or strategies[name].compiles)]
every_strategy = pytest.mark.parametrize("name", ON_CPU)
NO_DROPOUT: dict[str, dict[str, float]] = {
    "deepstarr": {"dropout": 0.0},
    "mprann": {"dropout": 0.0, "dense_dropout": 0.0},
    "residualbind": {"dropout": 0.0, "block_dropout": 0.0, "dense_dropout": 0.0},
    "dream_rnn": {"dropout": 0.0, "last_dropout": 0.0},
}
SHORT = {"deepstarr": 35, "mprann": 40, "residualbind": 51, "dream_rnn": 12}
SEEDS = (11, 12, 13)


def _config(backbone: str | type, head: str = "standardised_mean", **options: Any) -> ModelConfig:
    length = SHORT[backbone] if isinstance(backbone, str) else LENGTH
    if isinstance(backbone, str):
        options = {"width": 0.05} | options
    return ModelConfig(backbone=backbone, length=length, n_targets=2, head=head, options=options)


def _data(length: int, n: int, seed: int = 0, labels: tuple[str, ...] = ("activity",)) -> LabelledCodes:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 5, (n, length), generator=generator).to(torch.uint8)
    made = {name: torch.randn(n, 2, generator=generator) + (codes[:, 3:5] == 2) for name in labels}
    if "epistemic_std" in made:
        made["epistemic_std"] = made["epistemic_std"].abs() + 0.1
    made["activity"][::7, 1] = torch.nan  # members' batches then have unequal numbers of labels
    made["activity"][1] = torch.nan
    return LabelledCodes(codes=codes, labels=made)


def _stack(name: str, models: list[Model], length: int, optimiser: str = "adam") -> Any:
    return strategies[name](with_streams(models[0], length), StackState.of(models, optimiser))


def _refuses(name: str, models: list[Model], length: int) -> bool:
    try:
        _stack(name, models, length).raw(torch.zeros(len(models), 2, 4, length))
    except (Unsuitable, RuntimeError):
        return True
    return False


@every_strategy
@pytest.mark.parametrize("backbone", [*SHORT, TinyBackbone])
def test_outputs_gradients_and_statistics_are_those_of_each_network_alone(
    name: str, backbone: str | type
) -> None:
    config = _config(backbone, **(NO_DROPOUT[backbone] if isinstance(backbone, str) else {"dropout": 0.0}))
    # float64: what differs is the formula, not the rounding
    models = [build_model(config, seed).double() for seed in SEEDS]
    if backbone == "dream_rnn" and name != "loop":
        assert _refuses(name, [model.float() for model in models], config.length)
        return
    data = _data(config.length, 18)
    codes, labels = data.codes.reshape(3, 6, -1), data.labels["activity"].double().reshape(3, 6, 2)
    for model, own in zip(models, labels, strict=True):
        model.head.fit_scale({"activity": own})
    strategy = _stack(name, models, config.length)
    strategy.train()
    x = one_hot(codes.flatten(0, 1), torch.float64).unflatten(0, (3, 6))
    raw = strategy.raw(x)
    losses = strategy.losses(raw, {"activity": labels})
    gradients = torch.autograd.grad(losses.sum(), strategy.leaves)
    for target, value in zip(strategy.gradients, gradients, strict=True):
        target.copy_(value)
    for member, model in enumerate(models):
        alone = model.train()(x[member])
        torch.testing.assert_close(raw[member], alone, rtol=1e-10, atol=1e-11)
        loss = model.head.loss(alone, {"activity": labels[member]})
        torch.testing.assert_close(losses[member], loss, rtol=1e-10, atol=1e-11)
        loss.sum().backward()
        gradient = strategy.state.views(strategy.state.gradients[member])
        for key, parameter in model.named_parameters():
            torch.testing.assert_close(gradient[key], parameter.grad, rtol=1e-9, atol=1e-10, msg=key)
        for key, buffer in model.named_buffers():
            torch.testing.assert_close(strategy.state.buffers[key][member], buffer, msg=key)
    strategy.train(False)
    with torch.no_grad():
        expected = torch.stack([model.eval()(own) for model, own in zip(models, x, strict=True)])
        torch.testing.assert_close(strategy.raw(x), expected, rtol=1e-10, atol=1e-11)


@every_strategy
@pytest.mark.parametrize(
    ("backbone", "optimiser", "rate"),
    [
        ("deepstarr", "adam", 1e-3),
        # smaller steps: its depth makes rounding grow, on a processor with AMX to 4e-4 after twenty steps of 1e-3
        ("residualbind", "adam", 1e-4),
        ("mprann", "adam", 1e-3),
        ("deepstarr", "muon", 1e-3),
    ],
)
def test_twenty_steps_in_float32_are_those_of_each_member_alone(
    name: str, backbone: str, optimiser: Any, rate: float
) -> None:
    config, training = (
        _config(backbone, **NO_DROPOUT[backbone]),
        TrainingConfig(
            epochs=2,
            batch_size=8,
            norm_momentum=1.0,
            precision="float32",
            optimiser=optimiser,
            learning_rate=rate,
            weight_decay=0.01,
        ),
    )
    train, valid = _data(config.length, 77), _data(config.length, 40, seed=1)  # nine batches of 8, one of 5
    alone: list[list[tuple[Any, Tensor]]] = []
    for seed in SEEDS:
        model, seen = build_model(config, seed), []

        def keep(record: Any, model: Model = model, seen: list[Any] = seen) -> None:
            with torch.no_grad():
                seen.append((record, deepcopy(model).train()(one_hot(valid.codes))))

        fit(model, train, valid, training, seed, on_epoch=keep)
        alone.append(seen)
    stepper = _stepper(name, config, training, train)
    for epoch in range(2):
        _run_epoch(stepper, epoch)
        # In training mode: a bias that BatchNorm cancels has rounding noise for a gradient, which Adam makes steps of; the
        # running mean lags behind them, so that in evaluation mode such a bias is seen.
        now = strategies[name](with_streams(build_model(config, 0), config.length), stepper.state.clone())
        with torch.no_grad():
            raw = now.raw(one_hot(valid.codes).expand(3, -1, -1, -1))
        for member, seen in enumerate(alone):
            record, expected = seen[epoch]
            assert stepper.train_losses()[member].item() == pytest.approx(record.train_loss, abs=1e-4)
            torch.testing.assert_close(raw[member], expected, rtol=1e-4, atol=1e-4)


def _stepper(
    name: str,
    config: ModelConfig,
    training: TrainingConfig,
    train: LabelledCodes,
    seeds: tuple[int, ...] = SEEDS,
) -> Stepper:
    models = [build_model(config, seed) for seed in seeds]
    for model in models:
        model.head.fit_scale(train.labels)
        set_layers(model, training)
    return Stepper(_stack(name, models, config.length, training.optimiser), train, training)


def _run_epoch(
    stepper: Stepper, epoch: int, seeds: tuple[int, ...] = SEEDS, steps: int | None = None
) -> None:
    schedule = Schedule(stepper.config, steps_per_epoch=len(stepper.slices))
    stepper.begin([MemberEpoch(seed=seed, epoch=epoch, schedule=schedule) for seed in seeds])
    stepper.run(steps)


@every_strategy
@pytest.mark.parametrize("head", ["standardised_mean", "distilled"])
def test_the_validation_loss_is_that_of_every_member_alone(name: str, head: str) -> None:
    needs, config = heads[head].needs, _config("mprann", head=head)
    train, valid = _data(config.length, 40, labels=needs), _data(config.length, 300, seed=1, labels=needs)
    stepper = _stepper(name, config, TrainingConfig(batch_size=8, learning_rate=0.01), train)
    _run_epoch(stepper, 0)
    found, _ = validation_losses(stepper.strategy, valid, build_model(config, 0).head, "float32")
    model = build_model(config, 0)
    for member, loss in enumerate(found):
        model.load_state_dict(stepper.state.weights(member, list(model.state_dict())))
        assert loss.item() == pytest.approx(mean_loss(model, valid), rel=1e-5)


@pytest.mark.parametrize("name", ["matmul"])
def test_every_head_trains_in_a_stack(name: str) -> None:
    for head in heads:
        needs = heads[head].needs
        if not set(needs) <= {"activity", "epistemic_std"}:
            continue
        train = _data(LENGTH, 40, labels=needs)
        stepper = _stepper(
            name, _config(TinyBackbone, head=head), TrainingConfig(batch_size=8, learning_rate=0.02), train
        )
        _run_epoch(stepper, 0)
        first = stepper.train_losses()
        for epoch in (1, 2, 3):
            _run_epoch(stepper, epoch)
        assert stepper.train_losses().mean() < first.mean(), head
        model = build_model(_config(TinyBackbone, head=head), 0)
        found, _ = validation_losses(stepper.strategy, train, model.head, "float32")
        assert torch.isfinite(found).all()


@every_strategy
def test_dropout_depends_on_seed_and_step_and_not_on_who_else_is_in_the_stack(name: str) -> None:
    config, training = _config("residualbind", dropout=0.5), TrainingConfig(batch_size=8)
    train = _data(config.length, 40)
    together = _stepper(name, config, training, train)
    _run_epoch(together, 0)
    alone = _stepper(name, config, training, train, seeds=(12,))
    _run_epoch(alone, 0, seeds=(12,))
    torch.testing.assert_close(together.totals[:, 1:2], alone.totals, rtol=1e-4, atol=1e-4)
    without = _stepper(name, _config("residualbind", **NO_DROPOUT["residualbind"]), training, train)
    _run_epoch(without, 0)
    assert (without.totals - together.totals)[0].abs().min() > 1e-2


@pytest.mark.parametrize("name", ["matmul"])
def test_augmented_batches_are_those_of_the_member_alone(name: str) -> None:
    config = _config("deepstarr", dropout=0.0)
    training = TrainingConfig(
        epochs=1,
        batch_size=8,
        precision="float32",
        augment=({"name": "shift", "most_bp": 5}, {"name": "mutate", "probability": 0.5}),
    )
    train = _data(config.length, 37)
    stepper = _stepper(name, config, training, train)
    _run_epoch(stepper, 0)
    for member, seed in enumerate(SEEDS):
        history = fit(build_model(config, seed), train, train, training, seed)
        assert stepper.train_losses()[member].item() == pytest.approx(history[0].train_loss, abs=1e-4)


@every_strategy
def test_bfloat16_keeps_float32_weights_and_learns_the_same(name: str) -> None:
    config, training = _config("deepstarr", dropout=0.0), TrainingConfig(batch_size=8)
    train = _data(config.length, 64)
    full, half = (_stepper(name, config, training, train) for _ in range(2))
    half.precision = "bfloat16"
    for stepper in (full, half):
        for epoch in range(3):
            _run_epoch(stepper, epoch)
    assert half.state.flat.dtype == torch.float32
    assert not torch.equal(half.totals, full.totals)
    torch.testing.assert_close(half.train_losses(), full.train_losses(), rtol=0.1, atol=0.05)


class Hidden(LinearBackbone):
    """A user's own backbone with weights outside every layer."""

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.scale = torch.nn.Parameter(torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


@pytest.mark.parametrize("name", ["grouped", "matmul"])
def test_layers_that_no_stacked_layer_is_known_for_are_refused_with_the_reason(name: str) -> None:
    models = [build_model(_config(Hidden), seed) for seed in SEEDS]
    with pytest.raises(Unsuitable, match="backbone is a Hidden, for which there is no stacked layer"):
        _stack(name, models, LENGTH)
    for plain in ("loop", "vmap"):
        assert _stack(plain, models, LENGTH).raw(torch.zeros(3, 5, 4, LENGTH)).shape == (3, 5, 1, 2)


class Noisy(TinyBackbone):
    """A user's own backbone that draws its own random numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.dropout(super().forward(x), 0.5, self.training)


def test_random_numbers_outside_dropout_layers_are_refused() -> None:
    with pytest.raises(Unsuitable, match=r"draws random numbers outside nn\.Dropout"):
        with_streams(build_model(_config(Noisy), 0), LENGTH)
    with_streams(build_model(_config(TinyBackbone), 0), LENGTH)
