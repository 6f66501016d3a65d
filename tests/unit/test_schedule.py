"""The schedule against Keras's two callbacks, rewritten slowly, and against PyTorch's scheduler put into Keras's terms."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from octodon.training.config import TrainingConfig
from octodon.training.schedule import Schedule

# Steps around the absolute tolerance of 1e-4, which a relative tolerance would see otherwise at 0.01 and at 100.
_near = [base - step for base in (0.01, 1.0, 100.0) for step in (0.0, 5e-5, 9.9e-5, 1.01e-4, 2e-4)]
loss_sequences = st.lists(st.one_of(st.sampled_from(_near), st.floats(0, 3)), min_size=1, max_size=60)
configs = st.builds(
    TrainingConfig,
    learning_rate=st.sampled_from([1e-2, 1e-3, 1e-8]),
    stop_patience=st.integers(1, 12),
    decay_patience=st.integers(1, 6),
    decay_factor=st.sampled_from([0.1, 0.2, 0.5]),
    min_learning_rate=st.sampled_from([0.0, 1e-7, 1e-4]),
)


def keras(config: TrainingConfig, losses: list[float]) -> tuple[list[float], int, int]:
    """Return the rate after every epoch, the best epoch and the number of epochs run, with Keras's own variable names."""
    lr, best, wait = config.learning_rate, math.inf, 0
    stop_best, stop_wait, best_epoch = math.inf, 0, -1
    rates = []
    for epoch, current in enumerate(losses):
        if np.less(current, best - 1e-4):  # ReduceLROnPlateau(min_delta=1e-4, cooldown=0)
            best, wait = current, 0
        else:
            wait += 1
            if wait >= config.decay_patience and lr > config.min_learning_rate:
                lr = max(lr * config.decay_factor, config.min_learning_rate)
                wait = 0
        rates.append(lr)
        stop_wait += 1  # EarlyStopping(min_delta=0)
        if np.less(current, stop_best):
            stop_best, stop_wait, best_epoch = current, 0, epoch
        if stop_wait >= config.stop_patience and epoch > 0:
            break
    return rates, best_epoch, len(rates)


def ours(config: TrainingConfig, losses: list[float]) -> tuple[list[float], int, int]:
    schedule, rates = Schedule(config), []
    for epoch, loss in enumerate(losses):
        was_best = min([*losses[:epoch], math.inf])
        assert schedule.update(epoch, loss) == (loss < was_best)
        rates.append(schedule.step_rate(epoch, len(losses)))
        if schedule.should_stop:
            break
    return rates, schedule.best_epoch, len(rates)


@settings(deadline=None, derandomize=True)
@given(configs, loss_sequences)
def test_plateau_does_what_keras_does(config: TrainingConfig, losses: list[float]) -> None:
    assert ours(config, losses) == keras(config, losses)


@settings(deadline=None, derandomize=True)
@given(configs, loss_sequences)
def test_plateau_is_pytorchs_with_one_less_patience_and_an_absolute_threshold(
    config: TrainingConfig, losses: list[float]
) -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=config.learning_rate)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser,
        factor=config.decay_factor,
        patience=config.decay_patience - 1,
        threshold=1e-4,
        threshold_mode="abs",
        min_lr=config.min_learning_rate,
        eps=0,
    )
    schedule = Schedule(config)
    for epoch, loss in enumerate(losses):
        oracle.step(loss)
        schedule.update(epoch, loss)
        assert schedule.learning_rate == optimiser.param_groups[0]["lr"]


def test_decay_and_stop_come_in_the_epoch_in_which_the_patience_is_reached() -> None:
    config = TrainingConfig(learning_rate=1.0, decay_patience=2, stop_patience=4, decay_factor=0.1)
    schedule = Schedule(config)
    seen = []
    for epoch, loss in enumerate([1.0, 0.9, 0.9, 0.9, 0.9, 0.9]):
        schedule.update(epoch, loss)
        seen.append((round(schedule.learning_rate, 10), schedule.should_stop))
    assert seen == [(1.0, False), (1.0, False), (1.0, False), (0.1, False), (0.1, False), (0.01, True)]
    assert schedule.best_epoch == 1


def test_an_improvement_below_the_tolerance_keeps_weights_but_does_not_put_off_a_decay() -> None:
    schedule = Schedule(TrainingConfig(learning_rate=1.0, decay_patience=2, stop_patience=2))
    assert [schedule.update(epoch, 1 - 4e-5 * epoch) for epoch in range(3)] == [True, True, True]
    assert schedule.learning_rate == pytest.approx(0.1)
    assert not schedule.should_stop


def test_cosine_warms_up_linearly_falls_to_zero_and_never_stops_early() -> None:
    schedule = Schedule(TrainingConfig(schedule="cosine", learning_rate=2.0, stop_patience=1))
    rates = [schedule.step_rate(step, 200) for step in range(201)]
    assert rates[:10] == pytest.approx([2.0 * (step + 1) / 10 for step in range(10)])
    assert rates[10] == pytest.approx(2.0)
    assert rates[105] == pytest.approx(1.0)  # half of the way down
    assert rates[200] == pytest.approx(0.0, abs=1e-12)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[10:]))
    for epoch, loss in enumerate([1.0, 2.0, 3.0, 4.0]):
        schedule.update(epoch, loss)
    assert not schedule.should_stop
    assert schedule.step_rate(10, 200) == 2.0


@pytest.mark.parametrize("steps", [1, 2, 3, 19])
def test_cosine_of_a_very_short_training_is_positive_and_at_most_the_peak(steps: int) -> None:
    schedule = Schedule(TrainingConfig(schedule="cosine", learning_rate=1.0))
    assert all(0 < schedule.step_rate(step, steps) <= 1 for step in range(steps))


def test_without_labels_to_judge_a_second_backbone_by_its_last_epoch_is_kept() -> None:
    schedule = Schedule(TrainingConfig())
    assert [schedule.update_second(loss) for loss in (0.0, 0.0, 0.0)] == [True, True, True]
    resumed = Schedule(TrainingConfig())
    resumed.restore(schedule.state())
    assert resumed.update_second(0.0)
    judged = Schedule(TrainingConfig())
    assert [judged.update_second(loss) for loss in (0.4, 0.1, 0.1, -0.2, 0.0)] == [
        True,
        True,
        False,
        True,
        False,
    ]


def test_patience_lasts_a_number_of_steps_where_epochs_are_short() -> None:
    config = TrainingConfig(stop_patience=10, decay_patience=5, patience_steps=200)
    short, long = Schedule(config, steps_per_epoch=8), Schedule(config, steps_per_epoch=58)
    assert (short.stop_patience, short.decay_patience) == (25, 13)  # 200 / 8, 100 / 8 rounded up
    assert (long.stop_patience, long.decay_patience) == (10, 5)
    short.update(0, 1.0)
    for epoch in range(1, 26):
        assert not short.should_stop
        short.update(epoch, 2.0)
    assert short.should_stop
