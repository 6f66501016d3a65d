"""Training a stack to its end: the files, the schedule and the accidents of networks that are trained alone."""

import logging
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import LENGTH, MODEL, TinyBackbone, examples, train_tiny
from tiny import TRAINING as TINY_TRAINING
from torch import Tensor

from octodon.ensemble.arrays import SharedArrays
from octodon.ensemble.execution import Execution
from octodon.ensemble.network import NetworkJob, fit_network, network_seed, read_fitted
from octodon.ensemble.stacked import choose as choosing
from octodon.ensemble.stacked import fit as fitting
from octodon.ensemble.stacked.fit import StackJob, fit_stack, read_choices
from octodon.ensemble.stacked.state import StackState
from octodon.ensemble.stacked.step import Stepper
from octodon.ensemble.stacked.strategies import strategies
from octodon.ensemble.train import train_networks
from octodon.errors import ConfigError, RunError
from octodon.models.heads import heads
from octodon.models.model import ModelConfig, build_model
from octodon.seeds import derive_seed
from octodon.training.config import TrainingConfig

TRAINING = TINY_TRAINING.model_copy(update={"precision": "float32"})
STOPS_EARLY = TrainingConfig(
    epochs=12,
    batch_size=32,
    learning_rate=0.05,
    stop_patience=1,
    decay_patience=1,
    patience_steps=0,
    precision="float32",
)


class Steady(TinyBackbone):
    """Without the bias that BatchNorm cancels: its gradient is rounding noise, of which Adam makes steps of full size."""

    def __init__(self, length: int, channels: int = 8, dropout: float = 0.0) -> None:
        super().__init__(length, channels, dropout)
        self.conv.register_parameter("bias", None)


PLAIN = replace(MODEL, backbone=Steady)


def _jobs(
    folder: Path,
    members: int = 3,
    model: ModelConfig = PLAIN,
    training: TrainingConfig = TRAINING,
    valid_replicates: int = 3,
    **options: Any,
) -> list[NetworkJob]:
    data = examples()
    arrays = {}
    for split in ("train", "valid"):
        rows = data.subset(split)
        arrays |= {f"{split}.codes": rows.codes, f"{split}.label.activity": rows.targets}
        if "replicates" in heads[model.head].needs:
            noise = np.random.default_rng(1).normal(0, 0.2, (*rows.targets.shape, 3)).astype(np.float32)
            arrays[f"{split}.label.replicates"] = rows.targets[:, :, None] + noise
            if split == "valid":
                arrays["valid.label.replicates"][:, :, valid_replicates:] = np.nan
    shared = SharedArrays.write(folder / "arrays", arrays)
    return [
        NetworkJob(
            role="member",
            index=index,
            model=model,
            training=training,
            seed=0,
            arrays=shared,
            folder=folder / f"member_{index}",
            **options,
        )
        for index in range(members)
    ]


def _histories(jobs: list[NetworkJob]) -> list[list[tuple[int, float, float, float, bool]]]:
    keys = ("epoch", "train_loss", "valid_loss", "learning_rate", "is_best")
    return [[tuple(r[k] for k in keys) for r in read_fitted(job.folder, job.index).history] for job in jobs]


def _same(first: list[NetworkJob], second: list[NetworkJob], **tolerance: float) -> None:
    for ours, theirs in zip(_histories(first), _histories(second), strict=True):
        np.testing.assert_allclose(ours, theirs, **tolerance)
    for ours, theirs in zip(first, second, strict=True):
        a, b = (read_fitted(job.folder, job.index).weights for job in (ours, theirs))
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].dtype == b[name].dtype
            torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.parametrize("strategy", ["loop", "vmap", "grouped", "matmul"])
def test_a_stack_leaves_the_files_of_networks_trained_alone(tmp_path: Path, strategy: str) -> None:
    stacked, alone = _jobs(tmp_path / "stacked"), _jobs(tmp_path / "alone")
    choices = fit_stack(StackJob(jobs=tuple(stacked), strategy=strategy))
    for job in alone:
        fit_network(job)
    assert [choice.strategy for choice in choices] == [strategy]
    names = [{path.name for path in job.folder.iterdir()} for job in (*stacked, *alone)]
    assert all(found == {"done.json", "history.jsonl", "weights.safetensors"} for found in names)
    _same(stacked, alone, atol=1e-4)


def test_a_second_backbone_has_its_own_best_epoch_in_a_stack_too(tmp_path: Path) -> None:
    model = replace(PLAIN, head="replicate_variance_apart")
    training = TrainingConfig(epochs=6, batch_size=32, learning_rate=0.05, precision="float32")
    stacked = _jobs(tmp_path / "stacked", model=model, training=training)
    alone = _jobs(tmp_path / "alone", model=model, training=training)
    fit_stack(StackJob(jobs=tuple(stacked), strategy="matmul"))
    for job in alone:
        fit_network(job)
    _same(stacked, alone, atol=1e-3)
    records = [[read_fitted(job.folder, job.index).history for job in jobs] for jobs in (stacked, alone)]
    for ours, theirs in zip(*records, strict=True):
        assert [r["is_best_second"] for r in ours] == [r["is_best_second"] for r in theirs]
        assert [r["is_best_second"] for r in ours] != [r["is_best"] for r in ours]


def test_noise_that_no_validation_row_can_judge_is_kept_from_the_last_epoch_in_a_stack_too(
    tmp_path: Path,
) -> None:
    model = replace(PLAIN, head="replicate_variance_apart")
    options: dict[str, Any] = {"model": model, "training": TRAINING, "valid_replicates": 1}
    stacked, alone = _jobs(tmp_path / "stacked", **options), _jobs(tmp_path / "alone", **options)
    fit_stack(StackJob(jobs=tuple(stacked), strategy="matmul"))
    for job in alone:
        fit_network(job)
    _same(stacked, alone, atol=1e-3)
    for job in (*stacked, *alone):
        assert [r["is_best_second"] for r in read_fitted(job.folder, job.index).history] == [True] * 3


def test_members_stop_when_each_would_and_leave_the_others_unchanged(tmp_path: Path) -> None:
    stacked = _jobs(tmp_path / "stacked", members=4, training=STOPS_EARLY)
    alone = _jobs(tmp_path / "alone", members=4, training=STOPS_EARLY)
    fit_stack(StackJob(jobs=tuple(stacked), strategy="loop"))
    for job in alone:
        fit_network(job)
    lengths = [len(history) for history in _histories(stacked)]
    assert len(set(lengths)) > 1  # else nobody left before the others
    assert lengths == [len(history) for history in _histories(alone)]
    _same(stacked, alone, atol=1e-3)


def test_a_finished_member_leaves_the_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    begin = Stepper.begin

    def watched(self: Stepper, *args: Any) -> None:
        sizes.append(len(self.state))
        begin(self, *args)

    monkeypatch.setattr(Stepper, "begin", watched)
    monkeypatch.setattr(
        fitting._Training, "_leaving_pays", lambda self, _: any(m.is_done for m in self.members)
    )
    fit_stack(StackJob(jobs=tuple(_jobs(tmp_path, members=4, training=STOPS_EARLY)), strategy="matmul"))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 4
    assert sizes[-1] < 4


def test_what_the_whole_stack_held_is_freed_before_a_smaller_one_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steppers: list[weakref.ref[Stepper]] = []
    alive: list[int] = []
    prepare = fitting._Training._prepare

    def watched(self: fitting._Training, strategy: str) -> Stepper:
        alive.append(sum(stepper() is not None for stepper in steppers))
        stepper = prepare(self, strategy)
        steppers.append(weakref.ref(stepper))
        return stepper

    monkeypatch.setattr(fitting._Training, "_prepare", watched)
    monkeypatch.setattr(
        fitting._Training, "_leaving_pays", lambda self, _: any(m.is_done for m in self.members)
    )
    fit_stack(StackJob(jobs=tuple(_jobs(tmp_path, members=4, training=STOPS_EARLY)), strategy="matmul"))
    assert len(alive) > 1
    assert not any(alive)


def test_members_that_are_done_are_not_trained_again_where_memory_ends_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = _jobs(tmp_path, members=4, training=STOPS_EARLY)
    epoch = fitting._Training._epoch
    done: dict[Path, int] = {}  # when each that was finished before was

    def out_of_memory(self: Any, *args: Any) -> Any:
        if not done and any(member.is_done for member in self.members):
            paths = [job.folder / "done.json" for job in jobs if job.is_done]
            done.update({path: path.stat().st_mtime_ns for path in paths})
            raise torch.OutOfMemoryError
        return epoch(self, *args)

    monkeypatch.setattr(fitting._Training, "_epoch", out_of_memory)
    monkeypatch.setattr(fitting._Training, "_leaving_pays", lambda *_: False)
    choices = fit_stack(StackJob(jobs=tuple(jobs), strategy="loop"))
    assert "no room on the GPU for 4 members at once" in caplog.text
    assert 0 < len(done) < 4
    assert sum(choice.members for choice in choices) == 4 - len(done)
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    alone = _jobs(tmp_path / "alone", members=4, training=STOPS_EARLY)
    for job in alone:
        fit_network(job)
    _same(jobs, alone, atol=1e-3)


@pytest.mark.parametrize("strategy", ["separate", "loop"])
def test_a_gpu_too_small_for_one_network_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    def out_of_memory(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr("octodon.ensemble.network.fit", out_of_memory)
    monkeypatch.setattr(fitting._Training, "_epoch", out_of_memory)
    with pytest.raises(
        RunError, match=r"^member 0: no room on the GPU for one network; what .* 'cpu'"
    ) as caught:
        train_networks(_jobs(tmp_path), Execution(progress=False, strategy=strategy))
    assert "\n" not in str(caught.value)


def test_an_interrupted_stack_goes_on_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = TRAINING.model_copy(update={"epochs": 4, "checkpoint_seconds": 0.0})
    model = MODEL  # with dropout
    whole = _jobs(tmp_path / "whole", model=model, training=training)
    fit_stack(StackJob(jobs=tuple(whole), strategy="matmul"))
    cut = _jobs(tmp_path / "cut", model=model, training=training)
    epoch, seen = fitting._Training._epoch, []

    def interrupted(self: Any, *args: Any) -> Any:
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return epoch(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(fitting._Training, "_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit_stack(StackJob(jobs=tuple(cut), strategy="matmul"))
    assert all((job.folder / "checkpoint.safetensors").is_file() for job in cut)
    (cut[1].folder / "checkpoint.safetensors").unlink()  # one member is behind the others
    fit_stack(StackJob(jobs=tuple(cut), strategy="matmul"))
    for a, b in zip(whole, cut, strict=True):
        first, second = read_fitted(a.folder, a.index), read_fitted(b.folder, b.index)
        assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
        assert [r["train_loss"] for r in first.history] == [r["train_loss"] for r in second.history]


class Explosive(Steady):
    """Diverges from half of all initial weights."""

    def __init__(self, length: int, channels: int = 8) -> None:
        super().__init__(length, channels)
        self.register_buffer("explodes", self.conv.weight.detach()[0, 0, 0] > 0)

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(self.explodes, torch.nan, super().forward(x))


def test_a_member_that_diverges_begins_again_from_its_next_seed(tmp_path: Path) -> None:
    model = ModelConfig(backbone=Explosive, length=LENGTH, n_targets=2)
    expected = []
    for index in range(4):
        seeds = [derive_seed(network_seed(0, "member", index, attempt), "init") for attempt in range(3)]
        expected.append([bool(build_model(model, seed).backbone.explodes) for seed in seeds].index(False))
    assert set(expected) > {0}  # some do, some do not
    jobs = _jobs(tmp_path, members=4, model=model)
    fit_stack(StackJob(jobs=tuple(jobs), strategy="loop"))
    assert [read_fitted(job.folder, job.index).attempt for job in jobs] == expected
    alone = _jobs(tmp_path / "alone", members=4, model=model)
    for job in alone:
        fit_network(job)
    for ours, theirs in zip(_histories(jobs), _histories(alone), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_stack_that_diverges_from_every_seed_says_what_to_do(tmp_path: Path) -> None:
    training = TrainingConfig(epochs=3, batch_size=32, learning_rate=1e30)
    with pytest.raises(RunError, match=r"member \d: the loss diverged from 3 seeds; lower learning_rate"):
        fit_stack(StackJob(jobs=tuple(_jobs(tmp_path, training=training)), strategy="loop"))


def test_choosing_changes_nothing_and_says_what_it_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    untouched: list[bool] = []
    original = choosing.choose

    def watched(plan: Any, state: StackState, names: Any) -> Any:
        before = {name: value.clone() for name, value in state.tensors().items()}
        choice = original(plan, state, names)
        untouched.append(all(torch.equal(before[name], value) for name, value in state.tensors().items()))
        return choice

    monkeypatch.setattr(fitting, "choose", watched)
    caplog.set_level(logging.INFO)
    jobs = _jobs(tmp_path)
    (choice,) = fit_stack(StackJob(jobs=tuple(jobs), strategy="stacked"))
    assert untouched == [True]
    on_cpu = {name for name in strategies if not (strategies[name].only_cuda or strategies[name].compiles)}
    assert choice.milliseconds.keys() == on_cpu
    assert choice.milliseconds[choice.strategy] == min(choice.milliseconds.values())
    assert f"3 members in one stack: {choice.strategy} (a step: " in caplog.text
    assert read_choices(tmp_path) == [choice]
    named = _jobs(tmp_path / "named")
    fit_stack(StackJob(jobs=tuple(named), strategy=choice.strategy))
    for a, b in zip(jobs, named, strict=True):
        first, second = read_fitted(a.folder, 0).weights, read_fitted(b.folder, 0).weights
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_strategy_that_computes_something_else_is_no_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = strategies["matmul"]
    forward = wrong.forward
    monkeypatch.setattr(wrong, "forward", lambda self, x: 1.2 * forward(self, x))
    (choice,) = fit_stack(StackJob(jobs=tuple(_jobs(tmp_path)), strategy="stacked"))
    assert choice.strategy != "matmul"
    assert choice.refused["matmul"] == "its losses differ from those of loop"


class Mixing(TinyBackbone):
    """Draws random numbers of its own: in a stack they would depend on the neighbours."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.dropout(super().forward(x), 0.1, self.training)


def test_a_backbone_that_cannot_be_stacked_is_refused_by_name_and_trained_alone_under_auto(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = tuple(_jobs(tmp_path, members=2, model=replace(MODEL, backbone=Mixing)))
    with pytest.raises(
        ConfigError, match=r"cannot be trained in a stack: it draws random numbers.*'separate'"
    ):
        fit_stack(StackJob(jobs=jobs, strategy="stacked"))
    assert fit_stack(StackJob(jobs=jobs, strategy="auto")) == []
    assert "trained one by one" in caplog.text
    assert all(job.is_done for job in jobs)


def test_unknown_names_and_mixed_jobs_are_refused(tmp_path: Path) -> None:
    jobs = _jobs(tmp_path, members=2)
    with pytest.raises(ConfigError, match="no 'matmull'; did you mean 'matmul'"):
        StackJob(jobs=tuple(jobs), strategy="matmull")
    with pytest.raises(ConfigError, match="no 'bfloat61'; did you mean 'bfloat16'"):
        StackJob(jobs=tuple(jobs), precision="bfloat61")
    with pytest.raises(ConfigError, match="2 kinds of networks"):
        StackJob(jobs=(jobs[0], replace(jobs[1], model=MODEL)))
    with pytest.raises(ConfigError, match="no 'stakced'; did you mean 'stacked'"):
        Execution(strategy="stakced")


def test_the_precision_of_the_training_is_that_of_the_stack(tmp_path: Path) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        jobs = _jobs(tmp_path / precision, training=TRAINING.model_copy(update={"precision": precision}))
        fit_stack(StackJob(jobs=tuple(jobs), strategy="matmul"))
        losses.append([history[-1][1] for history in _histories(jobs)])
        assert all(
            w.dtype == torch.float32
            for n, w in read_fitted(jobs[0].folder, 0).weights.items()
            if "num" not in n
        )
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[0], losses[1], atol=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"'cuda' asked for, but torch .* sees no GPU"):
        fit_stack(StackJob(jobs=tuple(_jobs(tmp_path, device="cuda"))))
    (choice,) = fit_stack(StackJob(jobs=tuple(_jobs(tmp_path / "cpu")), strategy="stacked"))
    assert "streams" not in choice.milliseconds


def test_networks_of_a_run_are_stacked_where_that_is_asked_for(tmp_path: Path) -> None:
    jobs = _jobs(tmp_path)
    fitted = train_networks(jobs, Execution(progress=False, strategy="vmap"))
    assert [network.index for network in fitted] == [0, 1, 2]
    assert [(choice.strategy, choice.members) for choice in read_choices(tmp_path)] == [("vmap", 3)]
    separate = _jobs(tmp_path / "separate")
    train_networks(separate, Execution(progress=False))
    assert not read_choices(tmp_path / "separate")


def test_how_networks_were_computed_is_told_of_every_stack_and_of_this_call_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "MOST_MEMBERS", 2)
    jobs = _jobs(tmp_path)
    train_networks(jobs, Execution(progress=False, strategy="loop"))
    assert [choice.members for choice in read_choices(tmp_path)] == [2, 1]
    train_networks(jobs, Execution(progress=False, strategy="separate"))  # nothing is left to compute
    assert [choice.members for choice in read_choices(tmp_path)] == [2, 1]
    (jobs[1].folder / "done.json").unlink()  # as if interrupted, and gone on with each network alone
    train_networks(jobs, Execution(progress=False, strategy="separate"))
    assert not read_choices(tmp_path)


def test_a_stack_learns_as_well_as_networks_alone(tmp_path: Path) -> None:
    # Dropout masks differ, so the agreement is statistical: means of five within their spread.
    jobs = _jobs(tmp_path, members=5, model=MODEL, training=TRAINING.model_copy(update={"epochs": 6}))
    fit_stack(StackJob(jobs=tuple(jobs), strategy="matmul"))
    stacked = [min(r["valid_loss"] for r in read_fitted(job.folder, job.index).history) for job in jobs]
    ensemble = train_tiny(members=5, training=TRAINING.model_copy(update={"epochs": 6}))
    alone = [min(r["valid_loss"] for r in member.history) for member in ensemble.members]
    spread = np.std(alone, ddof=1) + np.std(stacked, ddof=1)
    assert abs(np.mean(stacked) - np.mean(alone)) < 2 * spread
