"""A training that is interrupted and goes on ends with the bits of one that was not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import LENGTH, TinyBackbone

from octodon.errors import RunError
from octodon.models.model import Model, ModelConfig, build_model
from octodon.training import loop
from octodon.training.checkpoint import Checkpoint, read_header
from octodon.training.config import TrainingConfig
from octodon.training.loop import LabelledCodes, fit
from octodon.training.optimiser import build_optimiser
from octodon.training.schedule import Schedule
from octodon.training.state import EpochRecord

PLATEAU = TrainingConfig(
    epochs=9, batch_size=16, learning_rate=0.05, decay_patience=2, stop_patience=6, patience_steps=0
)
UNTIL_IT_STOPS = PLATEAU.model_copy(update={"epochs": 100})
COSINE = PLATEAU.model_copy(update={"schedule": "cosine", "weight_decay": 0.01})


def _data(seed: int) -> LabelledCodes:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 4, (80, LENGTH), generator=generator, dtype=torch.uint8)
    return LabelledCodes(codes=codes, labels={"activity": torch.randn(80, 2, generator=generator)})


TRAIN, VALID = _data(0), _data(1)


class _KilledError(Exception):
    pass


def _fit(
    path: Path | None, config: TrainingConfig = PLATEAU, killed_after: int = -1, **changes: Any
) -> tuple[Model, list[EpochRecord]]:
    """Fit a network; ``killed_after`` ends the process, so to speak, in the middle of the next epoch."""
    torch.rand(3)  # what the global generator did before plays no part
    model = build_model(
        ModelConfig(backbone=TinyBackbone, length=LENGTH, n_targets=2, head="standardised_mean"), seed=4
    )
    steps = 0

    def die_in_the_middle(module: torch.nn.Module, _: Any) -> None:
        nonlocal steps
        steps += module.training
        if killed_after >= 0 and steps == 5 * killed_after + 3:  # five steps an epoch
            raise _KilledError

    model.backbone.register_forward_pre_hook(die_in_the_middle)
    checkpoint = None if path is None else replace(Checkpoint(path=path, identity="this"), **changes)
    return model, fit(model, TRAIN, VALID, config, seed=7, checkpoint=checkpoint)


def _same(a: Model, b: Model) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("config", [PLATEAU, COSINE], ids=["plateau", "cosine"])
@pytest.mark.parametrize("kills", [(1,), (4,), (1, 2, 3, 1)], ids=str)
def test_killed_and_resumed_is_uninterrupted_bit_for_bit(
    kills: tuple[int, ...], config: TrainingConfig, tmp_path: Path
) -> None:
    whole, expected = _fit(None, config)
    path, done = tmp_path / "state", 0
    for after in kills:
        with pytest.raises(_KilledError):
            _fit(path, config, killed_after=after)
        done = min(done + after, len(expected))
        assert len(read_header(path)["history"]) == done
    resumed, history = _fit(path, config)
    assert _same(resumed, whole)
    assert [replace(r, seconds=0.0) for r in history] == [replace(r, seconds=0.0) for r in expected]
    assert any(record.learning_rate < 0.05 for record in history)  # the schedule had something to remember
    assert max(record.epoch for record in history if record.is_best) > 0


def test_a_training_that_had_ended_is_not_trained_again(tmp_path: Path) -> None:
    whole, expected = _fit(tmp_path / "state")
    again, history = _fit(tmp_path / "state", killed_after=0)  # one step would kill it
    assert _same(again, whole)
    assert history == expected


@pytest.mark.parametrize("part", ["weights", "best", "optimiser", "schedule", "history"])
def test_every_part_of_the_state_counts(part: str, tmp_path: Path) -> None:
    # Leave one part as it is in a network that begins: the end is another one.
    whole, expected = _fit(None, UNTIL_IT_STOPS)
    path = tmp_path / "state"
    best = max(record.epoch for record in expected if record.is_best)
    assert 0 < best < len(expected) - 1  # found before the kill, so that it must have been kept
    for epochs in (1, best + 1):
        with pytest.raises(_KilledError):
            _fit(path, UNTIL_IT_STOPS, killed_after=epochs - len(_epochs(path)))
        checkpoint = Checkpoint(path=path, identity="this")
        state = checkpoint.load()
        assert state is not None
        if epochs == 1:
            first = state
    changed = {"schedule": Schedule(UNTIL_IT_STOPS).state(), "history": state.history[:-1]}
    checkpoint.save(replace(state, **{part: changed.get(part, getattr(first, part))}))
    other, history = _fit(path, UNTIL_IT_STOPS)
    assert not _same(other, whole) or [r.valid_loss for r in history] != [r.valid_loss for r in expected]


def _epochs(path: Path) -> list[Any]:
    return read_header(path)["history"] if path.is_file() else []


def test_moments_follow_the_layout_of_their_parameter(tmp_path: Path) -> None:
    model, _ = _fit(tmp_path / "state", PLATEAU.model_copy(update={"epochs": 2}))
    turned = torch.nn.Parameter(
        model.backbone.conv.weight.detach().transpose(0, 2).contiguous().transpose(0, 2)
    )
    model.backbone.conv.weight = turned
    optimiser = build_optimiser(model, PLATEAU)
    state = Checkpoint(path=tmp_path / "state", identity="this").load()
    assert state is not None
    loop._restore(
        model, optimiser, Schedule(PLATEAU), state, Checkpoint(path=tmp_path / "state", identity="this")
    )
    moments = optimiser.state[turned]["exp_avg"]
    assert moments.stride() == turned.stride() != state.optimiser["backbone.conv.weight"]["exp_avg"].stride()
    assert torch.equal(moments, state.optimiser["backbone.conv.weight"]["exp_avg"])


def test_writes_keep_their_distance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("octodon.training.checkpoint.time.monotonic", lambda: now[0])
    checkpoint = Checkpoint(path=tmp_path / "state", identity="this", seconds=10.0)
    assert not checkpoint.is_due
    now[0] = 110
    assert checkpoint.is_due
    _, history = _fit(None, PLATEAU.model_copy(update={"epochs": 1}))
    model = build_model(ModelConfig(backbone=TinyBackbone, length=LENGTH, n_targets=2), 0)
    checkpoint.save(loop._state(model, build_optimiser(model, PLATEAU), Schedule(PLATEAU), {}, history))
    assert not checkpoint.is_due
    now[0] = 119.9
    assert not checkpoint.is_due


def test_the_state_of_an_earlier_attempt_is_none_of_this(tmp_path: Path) -> None:
    _fit(tmp_path / "state", PLATEAU.model_copy(update={"epochs": 2}))
    assert Checkpoint(path=tmp_path / "state", identity="this", attempt=1).load() is None
    assert Checkpoint(path=tmp_path / "absent", identity="this").load() is None


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _foreign(path: Path) -> None:
    save_file({"weights/a": torch.zeros(2)}, path)


def _another_network(path: Path) -> None:
    header = read_header(path)
    tensors = {name: value for name, value in load_file(path).items() if "conv" not in name}
    save_file(tensors, path, {"octodon": json.dumps(header)})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, r"not a checkpoint that can be read \(.*\); remove this file to train"),
        (lambda path: path.write_bytes(b""), "not a checkpoint that can be read"),
        (_foreign, "not a checkpoint that can be read"),
        (_another_network, r"does not fit the network \(.*conv.*\); remove it"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(damage: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "state"
    _fit(path, PLATEAU.model_copy(update={"epochs": 2}))
    damage(path)
    with pytest.raises(RunError, match=message) as caught:
        _fit(path)
    assert "\n" not in str(caught.value)


def test_the_state_of_another_training_is_refused(tmp_path: Path) -> None:
    _fit(tmp_path / "state", PLATEAU.model_copy(update={"epochs": 2}))
    with pytest.raises(
        RunError, match=r"checkpoint of another training \(config, seed or data differ\); use another folder"
    ):
        _fit(tmp_path / "state", identity="that")
