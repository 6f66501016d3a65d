"""The record of where networks are computed, and the presets of the Python functions."""

from pathlib import Path
from typing import Any

import pytest
from tiny import examples, train_tiny

import octodon
from octodon.distillation import distill as distill_module
from octodon.ensemble import train as train_module
from octodon.ensemble.execution import executing, is_client
from octodon.errors import ConfigError
from octodon.experiment import run as run_module
from octodon.experiment import sweep
from octodon.experiment.config import resolve
from octodon.experiment.run import run_experiment


def test_an_unknown_executor_or_device_is_refused_with_a_suggestion() -> None:
    with (
        pytest.raises(ConfigError, match=r"executor: no 'locl'; did you mean 'local'\?"),
        executing(executor="locl"),
    ):
        pass
    with pytest.raises(ConfigError, match="'gpu'; expected auto, cpu"), executing(device="gpu"):
        pass


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"strategy": "stakced"}, r"strategy: no 'stakced'; did you mean 'stacked'\?"),
        ({"executor": "ray", "processes": 0}, r"run\.processes: 0 computes in this process; leave it out"),
        ({"executor": "ray", "device": "cuda:1"}, r"device: 'cuda:1'; on a cluster, where each task has one"),
    ],
)
def test_a_run_that_cannot_be_computed_is_refused_before_anything_is_written(
    section: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octodon.ensemble.execution.find_spec", lambda _: "Ray is there")
    with pytest.raises(ConfigError, match=message):
        run_experiment(resolve({"data": {}, "run": section}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


OUTSIDE = pytest.mark.parametrize(
    ("address", "environment", "outside"),
    [
        ("ray://head:10001", None, True),
        ("auto", "ray://head:10001", True),  # Ray takes "auto" from there
        ("auto", "head:6379", False),
        ("auto", None, False),
        ("head:6379", "ray://other:10001", False),
        (None, "ray://head:10001", False),  # a cluster of this machine is started
    ],
)


@OUTSIDE
def test_a_client_of_a_cluster_is_known_by_its_address(
    address: str | None, environment: str | None, outside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if environment is not None:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    assert is_client(address) == outside


@OUTSIDE
def test_fractions_run_side_by_side_unless_this_machine_is_outside_the_cluster(
    address: str | None,
    environment: str | None,
    outside: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if environment is not None:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    _given(monkeypatch, sweep, "_run_side_by_side")
    _given(monkeypatch, sweep, "run_experiment")
    config = resolve({"data": {}, "run": {"executor": "ray", "address": address}})
    with pytest.raises(_StopHereError) as caught:
        sweep.run_sweep(config, [0.5, 1.0], tmp_path)
    first = caught.value.args[0][0]
    assert isinstance(first, list) == (not outside)  # all fractions, or the configuration of the first


def test_a_sweep_refuses_a_share_of_the_training_rows_before_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _given(monkeypatch, sweep, "run_experiment")
    config = resolve({"data": {}, "train_fraction": 0.1})
    with pytest.raises(ConfigError, match=r"train_fraction: 0\.1 has no effect here.*use --fractions"):
        sweep.run_sweep(config, [0.5, 1.0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


class _StopHereError(Exception):
    """Carries what the stage was given."""


def _given(monkeypatch: pytest.MonkeyPatch, module: Any, stage: str) -> None:
    def stop(*args: Any, **_: Any) -> None:
        raise _StopHereError(args)

    monkeypatch.setattr(module, stage, stop)


@pytest.mark.parametrize(
    ("preset", "backbone", "is_said"),
    [
        ("paper", "deepstarr", False),
        ("paper-lentimpra", "mprann", False),
        ("default", "dream_rnn", False),
        ("paper", "dream_rnn", True),
    ],
)
def test_a_run_says_where_a_published_preset_trains_what_was_published_otherwise(
    preset: str, backbone: str, is_said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.tsv").touch()
    _given(monkeypatch, run_module, "executing")
    for stage in ("validate", "with_codes_on_disk"):
        monkeypatch.setattr(run_module, stage, lambda first, *_: first)
    monkeypatch.setattr(run_module, "with_heads", lambda config, *_: config)
    config = resolve(
        {"preset": preset, "data": {"path": str(tmp_path / "t.tsv")}, "model": {"backbone": backbone}}
    )
    said = list[str]()
    with pytest.raises(_StopHereError):
        run_module.run_experiment(config, tmp_path / "run", examples=examples(), say=said.append)
    line = "note: preset paper: its training was published for deepstarr, mprann, residualbind, not for dream_rnn (docs/method.md)"
    assert (line in said) == is_said


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_preset_means_in_python_what_it_means_in_toml(preset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = resolve({"preset": preset, "data": {}})
    teachers = train_tiny(members=2)
    _given(monkeypatch, train_module, "train_ensemble")
    with pytest.raises(_StopHereError) as caught:
        octodon.train(examples(), preset=preset, processes=0)
    assert caught.value.args[0][2] == toml.ensemble
    _given(monkeypatch, distill_module, "distil_students")
    with pytest.raises(_StopHereError) as caught:
        octodon.distill(teachers, examples(), preset=preset, processes=0)
    assert caught.value.args[0][3] == toml.distill


def test_what_is_given_beside_a_preset_wins_and_leaves_the_rest_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _given(monkeypatch, train_module, "train_ensemble")
    with pytest.raises(_StopHereError) as caught:
        octodon.train(examples(), preset="paper", training={"epochs": 7}, processes=0)
    training = caught.value.args[0][2].training
    assert (training.epochs, training.norm_momentum, training.patience_steps) == (7, "backbone", 0)
    with pytest.raises(ConfigError, match=r"train: preset: no 'papr'; did you mean 'paper'\?"):
        octodon.train(examples(), preset="papr")
