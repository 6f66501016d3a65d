"""Fitting one network."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from tiny import LENGTH, LinearBackbone, TinyBackbone

from octodon.errors import ConfigError, DataError, RunError
from octodon.models.heads import heads
from octodon.models.model import Model, ModelConfig, build_model
from octodon.settings import checked
from octodon.training import loop
from octodon.training.config import TrainingConfig
from octodon.training.loop import DivergedError, EpochRecord, LabelledCodes, fit, mean_loss

NAN = float("nan")


def _model(backbone: type = TinyBackbone, head: str = "mean", n_targets: int = 2, seed: int = 0) -> Model:
    config = ModelConfig(backbone=backbone, length=LENGTH, n_targets=n_targets, head=head)
    return build_model(config, seed)


def _data(n: int = 96, seed: int = 0, n_targets: int = 2) -> LabelledCodes:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 4, (n, LENGTH), generator=generator, dtype=torch.uint8)
    activity = torch.randn(n, n_targets, generator=generator) + (codes[:, :1] == 2)
    return LabelledCodes(codes=codes, labels={"activity": activity})


def _state(model: Model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_the_best_epoch_is_kept_by_copy_when_validation_gets_worse_later() -> None:
    # What is learnt on train is wrong on valid: the more it is learnt, the worse.
    train, model = _data(), _model()
    valid = LabelledCodes(codes=train.codes, labels={"activity": -3 * train.labels["activity"]})
    states = []
    history = fit(
        model,
        train,
        valid,
        TrainingConfig(epochs=12, batch_size=16, learning_rate=0.05, stop_patience=12, precision="float32"),
        seed=0,
        on_epoch=lambda record: states.append(_state(model)),
    )
    best = min(history, key=lambda record: record.valid_loss)
    assert best.epoch < len(history) - 1
    assert history[-1].valid_loss > 1.01 * best.valid_loss
    assert mean_loss(model, valid) == best.valid_loss
    for name, value in model.state_dict().items():  # BatchNorm statistics included
        assert torch.equal(value, states[best.epoch][name])
        assert value.numel() == 0 or not torch.equal(value, states[-1][name])
    assert not model.training


def test_early_stopping_ends_the_training() -> None:
    train = _data()
    valid = LabelledCodes(codes=train.codes, labels={"activity": -3 * train.labels["activity"]})
    config = TrainingConfig(
        epochs=50, batch_size=16, learning_rate=0.05, stop_patience=3, decay_patience=2, patience_steps=0
    )
    history = fit(_model(), train, valid, config, seed=0)
    best = max(record.epoch for record in history if record.is_best)
    assert len(history) == best + 1 + 3
    assert history[-1].learning_rate == pytest.approx(0.005)  # decayed after two epochs without improvement


def test_history_says_what_happened() -> None:
    train, seen = _data(), []
    history = fit(_model(), train, _data(seed=1), TrainingConfig(epochs=4), seed=0, on_epoch=seen.append)
    assert history == seen
    assert [record.epoch for record in history] == [0, 1, 2, 3]
    losses = [record.valid_loss for record in history]
    assert [r.is_best for r in history] == [min(losses[: i + 1]) not in losses[:i] for i in range(4)]
    assert all(isinstance(r, EpochRecord) and r.learning_rate == 1e-3 and r.seconds > 0 for r in history)


def test_the_validation_loss_is_a_plain_mean_whatever_the_batches() -> None:
    model, data = _model(), _data(n=300)  # more than one batch of 256
    model.eval()
    with torch.no_grad():
        table = torch.eye(4)[data.codes.long()].transpose(1, 2)
        expected = (model(table)[:, 0] - data.labels["activity"]).square().mean()
    assert mean_loss(model, data) == pytest.approx(float(expected), rel=1e-6)


def test_each_label_column_is_averaged_over_its_own_labels() -> None:
    # Half of the activities are missing: activity and std still weigh one half each.
    model, data = _model(head="distilled_linear"), _data(n=300)
    std = torch.rand(300, 2, generator=torch.Generator().manual_seed(3))
    activity = data.labels["activity"].clone()
    activity[:150] = NAN
    model.eval()
    with torch.no_grad():
        raw = model(torch.eye(4)[data.codes.long()].transpose(1, 2))
    expected = (raw[150:, 0] - activity[150:]).square().mean() / 2 + (raw[:, 1] - std).square().mean() / 2
    masked = LabelledCodes(codes=data.codes, labels={"activity": activity, "epistemic_std": std})
    assert mean_loss(model, masked) == pytest.approx(float(expected), rel=1e-6)


def test_no_step_waits_for_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a GPU, a number read out of a tensor stops the queue: at most a few an epoch, none a step.
    reads: list[int] = []
    for name in ("__int__", "__float__", "__bool__", "item"):
        plain = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda self, plain=plain: (reads.append(1), plain(self))[1])
    counts = []
    for n in (64, 640):
        reads.clear()
        fit(_model(), _data(n=n), _data(n=n), TrainingConfig(epochs=1, batch_size=16), seed=0)
        counts.append(len(reads))
    assert counts[0] == counts[1] > 0


def test_same_seed_same_weights_other_seed_other_weights() -> None:
    config = TrainingConfig(epochs=2, batch_size=16)
    states = []
    for seed in (5, 5, 6):
        model = _model()
        torch.rand(seed)  # what the global generator did before plays no part
        fit(model, _data(), _data(seed=1), config, seed=seed)
        states.append(_state(model))
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["backbone.conv.weight"], states[2]["backbone.conv.weight"])


def test_dropout_has_its_own_stream() -> None:
    # Equal batches (one batch holds all rows), so what differs between seeds is dropout alone.
    states = []
    for seed in (1, 2):
        model = _model()
        fit(model, _data(n=16), _data(seed=1), TrainingConfig(epochs=1, batch_size=16), seed=seed)
        states.append(model.head.linear.weight.detach().clone())
    assert not torch.allclose(*states)


def test_global_generators_are_left_as_found() -> None:
    torch.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002  the global generator is what is being watched
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit(_model(), _data(), _data(seed=1), TrainingConfig(epochs=2), seed=0)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_a_missing_label_has_no_gradient_and_the_others_have_that_of_least_squares() -> None:
    generator = torch.Generator().manual_seed(0)
    head = heads["mean"](6, 2)
    features, labels = torch.randn(9, 6, generator=generator), torch.randn(9, 2, generator=generator)
    present = torch.rand(9, 2, generator=generator) > 0.4
    labels = torch.where(present, labels, NAN)
    raw = head(features)
    raw.retain_grad()
    head.loss(raw, {"activity": labels}).sum().backward()
    assert raw.grad is not None
    assert torch.equal(raw.grad[:, 0][~present], torch.zeros(int((~present).sum())))
    residual = torch.where(present, features @ head.linear.weight.T + head.linear.bias - labels, 0.0)
    torch.testing.assert_close(head.linear.weight.grad, 2 * residual.T @ features)  # d/dW sum r^2
    torch.testing.assert_close(head.linear.bias.grad, 2 * residual.sum(0))


def test_a_step_follows_the_mean_over_the_labels_present(monkeypatch: pytest.MonkeyPatch) -> None:
    # Plain gradient descent instead of Adam, which hides the scale: W - rate * 2 R'F / (number of labels present).
    def plain(model: Model, config: TrainingConfig) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=config.learning_rate)

    monkeypatch.setattr(loop, "build_optimiser", plain)
    data, model = _data(n=30), _model(LinearBackbone)
    data.labels["activity"][::3, 0] = NAN
    before = _state(model)["head.linear.weight"]
    fit(model, data, data, TrainingConfig(epochs=1, batch_size=30, learning_rate=0.5), seed=0)
    label = data.labels["activity"]
    features = torch.eye(4)[data.codes[:, :2].long()].transpose(1, 2).flatten(1)
    residual = torch.where(label.isfinite(), features @ before.T - label, 0.0)
    expected = before - 0.5 * 2 * residual.T @ features / (60 - 10)
    torch.testing.assert_close(model.head.linear.weight.detach(), expected)


def test_training_with_missing_labels_is_training_on_the_rows_present() -> None:
    config = TrainingConfig(epochs=30, batch_size=200, learning_rate=0.05)  # one batch holds all rows
    data = _data(n=40, n_targets=1)
    present = torch.arange(40) % 3 != 0
    masked = LabelledCodes(
        codes=data.codes, labels={"activity": torch.where(present[:, None], data.labels["activity"], NAN)}
    )
    only = LabelledCodes(codes=data.codes[present], labels={"activity": data.labels["activity"][present]})
    models, histories = [], []
    for rows in (masked, only):
        models.append(_model(LinearBackbone, "standardised_mean", n_targets=1))
        histories.append(fit(models[-1], rows, rows, config, seed=0))
    for name, value in models[0].state_dict().items():
        torch.testing.assert_close(value, models[1].state_dict()[name], atol=1e-5, rtol=1e-4)
    for one, other in zip(*histories, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-4)
        assert one.valid_loss == pytest.approx(other.valid_loss, rel=1e-4)


def test_a_target_without_any_label_leaves_its_column_alone() -> None:
    data, model = _data(), _model(LinearBackbone)
    data.labels["activity"][:, 1] = NAN
    before = _state(model)["head.linear.weight"]
    fit(model, data, data, TrainingConfig(epochs=3, batch_size=16, learning_rate=0.1), seed=0)
    after = model.head.linear.weight
    assert torch.equal(after[1], before[1])
    assert not torch.equal(after[0], before[0])


def test_a_linear_network_reaches_the_least_squares_solution() -> None:
    data, model = _data(n=64, n_targets=2), _model(LinearBackbone, "standardised_mean")
    data.labels["activity"][::5, 1] = NAN
    fit(
        model,
        data,
        data,
        TrainingConfig(schedule="cosine", epochs=300, batch_size=64, learning_rate=0.05),
        seed=0,
    )
    one_hot = torch.eye(4)[data.codes[:, :2].long()].transpose(1, 2)
    features = torch.cat([one_hot.flatten(1), torch.ones(64, 1)], 1).double().numpy()
    with torch.no_grad():
        x = torch.eye(4)[data.codes.long()].transpose(1, 2)
        fitted = model.read(x).mean.double().numpy()
    for target in range(2):
        label = data.labels["activity"][:, target].double().numpy()
        rows = np.isfinite(label)
        weights = np.linalg.lstsq(features[rows], label[rows], rcond=None)[0]
        np.testing.assert_allclose(fitted[:, target], features @ weights, atol=2e-3)


@pytest.mark.parametrize("head", ["mean", "standardised_mean"])
@pytest.mark.parametrize(("n_labels", "n_targets"), [(1, 2), (2, 1), (3, 2)])
def test_labels_that_would_broadcast_are_refused(head: str, n_labels: int, n_targets: int) -> None:
    wrong, model = _data(n_targets=n_labels), _model(head=head, n_targets=n_targets)
    with pytest.raises((DataError, RuntimeError), match=r"shape|size"):
        fit(model, wrong, wrong, TrainingConfig(epochs=1), seed=0)


def test_a_loss_that_is_not_finite_is_reported() -> None:
    with pytest.raises(DivergedError, match=r"loss is (inf|nan) \(validation .*\) in epoch \d") as caught:
        fit(_model(), _data(), _data(), TrainingConfig(epochs=5, batch_size=16, learning_rate=1e30), seed=0)
    assert isinstance(caught.value, RunError)


def test_every_epoch_sees_every_row_once() -> None:
    seen: list[torch.Tensor] = []

    class Watching(LinearBackbone):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                seen.append(x[:, :, :4].argmax(1))
            return super().forward(x)

    codes = torch.cartesian_prod(*[torch.arange(4, dtype=torch.uint8)] * 3)[:33]  # 33 distinct rows: 16, 17
    codes = torch.cat([codes, torch.zeros(33, LENGTH - 3, dtype=torch.uint8)], 1)
    data = LabelledCodes(codes=codes, labels={"activity": torch.zeros(33, 2)})
    fit(_model(Watching), data, data, TrainingConfig(epochs=2, batch_size=16), seed=0)
    assert [len(batch) for batch in seen] == [16, 17, 16, 17]
    for epoch in (torch.cat(seen[:2]), torch.cat(seen[2:])):
        assert sorted(map(tuple, epoch[:, :3].tolist())) == sorted(map(tuple, codes[:, :3].tolist()))
    assert not torch.equal(torch.cat(seen[:2]), torch.cat(seen[2:]))


@pytest.mark.parametrize(("momentum", "expected"), [(0.25, 0.25), ("backbone", 0.01)])
def test_running_statistics_follow_the_batches_at_the_stated_momentum(
    momentum: float | Literal["backbone"], expected: float
) -> None:
    # One step: running mean = momentum * batch mean, from zero. The statistics are those of the convolution's output.
    data, model = _data(n=32), _model()
    with torch.no_grad():
        first = model.backbone.conv(torch.eye(4)[data.codes.long()].transpose(1, 2)).mean((0, 2))
    config = TrainingConfig(epochs=1, batch_size=32, norm_momentum=momentum, precision="float32")
    fit(model, data, data, config, seed=0)
    torch.testing.assert_close(model.backbone.norm.running_mean, expected * first, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("dropout", "expected"), [(0, 0.0), (0.7, 0.7), ("backbone", 0.2), ("auto", 0.2)])
def test_dropout_is_what_the_training_says(
    dropout: float | Literal["auto", "backbone"], expected: float
) -> None:
    rates: list[float] = []

    class Watching(TinyBackbone):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            features = super().forward(torch.ones_like(x))
            if self.training:
                rates.append(float((features == 0).float().mean()))
            return features

    config = checked(TrainingConfig, {"epochs": 1, "batch_size": 2048, "dropout": dropout}, "training")
    model = _model(Watching)
    with torch.no_grad():
        model.backbone.norm.bias.fill_(5)  # no unit is 0 but by dropout
    fit(model, _data(n=2048), _data(), config, seed=0)
    assert rates == [pytest.approx(expected, abs=0.02)]


@pytest.mark.parametrize("dropout", [1, -0.1, True, None, "own", float("nan")])
def test_a_dropout_that_is_no_probability_is_refused(dropout: Any) -> None:
    message = r"training: dropout: got .*expected a number from 0 to below 1, 'backbone' or 'auto'$"
    with pytest.raises(ConfigError, match=message):
        checked(TrainingConfig, {"dropout": dropout}, "training")


@pytest.mark.parametrize("momentum", [0, 1.5, -1, True, None, "own", float("nan")])
def test_a_momentum_that_is_no_share_is_refused_in_one_line(momentum: Any) -> None:
    message = r"training: norm_momentum: got .*expected a number above 0 and up to 1, or 'backbone'$"
    with pytest.raises(ConfigError, match=message):
        checked(TrainingConfig, {"norm_momentum": momentum}, "training")


@pytest.mark.parametrize("momentum", [0.01, 1, "backbone"])
def test_a_momentum_survives_writing_and_reading(momentum: Any) -> None:
    config = checked(TrainingConfig, {"norm_momentum": momentum}, "training")
    plain = {name: value for name, value in config.model_dump().items() if value is not None}
    assert config.norm_momentum == momentum
    assert checked(TrainingConfig, plain, "training") == config


def _fitted(precision: str) -> dict[str, torch.Tensor]:
    model = _model()
    config = TrainingConfig.model_validate({"epochs": 3, "batch_size": 16, "precision": precision})
    history = fit(model, _data(), _data(seed=1), config, seed=0)
    assert all(np.isfinite(record.valid_loss) for record in history)
    return _state(model)


def test_bfloat16_trains_nearly_the_same_float32_weights() -> None:
    exact, rounded = _fitted("float32"), _fitted("bfloat16")
    assert all(value.dtype == exact[name].dtype for name, value in rounded.items())
    weight = exact["head.linear.weight"]
    assert not torch.equal(rounded["head.linear.weight"], weight)
    torch.testing.assert_close(rounded["head.linear.weight"], weight, rtol=0, atol=0.02)


@pytest.mark.parametrize(("native", "same"), [(False, "float32"), (True, "bfloat16")])
def test_auto_is_one_or_the_other_bit_for_bit(
    native: bool, same: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octodon.models.precision.multiplies_bfloat16", lambda: native)
    auto, other = _fitted("auto"), _fitted(same)
    assert all(torch.equal(auto[name], other[name]) for name in other)


@pytest.mark.parametrize("second", [NAN, float("inf")])
def test_a_second_backbone_that_diverges_is_a_diverged_network(
    second: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "validation_losses", lambda *_: (1.0, second))
    with pytest.raises(DivergedError, match="in epoch 1"):
        fit(_model(), _data(), _data(seed=1), TrainingConfig(epochs=1), seed=0)
