"""A bundle that a killed writer had set aside is found by every command, before it asks whether one is there."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from octodon.cli.main import app
from octodon.errors import ConfigError
from octodon.experiment import attribution_study, beside, finished, given
from octodon.experiment.config import resolve


class _LoadedError(Exception):
    """The bundle is about to be read: it was found."""


def _load(path: Path, backbone: Any = None) -> None:
    assert (path / "config.json").is_file()
    raise _LoadedError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose ensemble and student are aside."""
    for name in ("ensemble", "student"):
        aside = tmp_path / "run" / f".{name}.7.old"
        aside.mkdir(parents=True)
        (aside / "config.json").touch()
    (tmp_path / "run" / "config.toml").touch()
    return tmp_path / "run"


@pytest.mark.parametrize("missing", ["ensemble", "student"])
def test_by_what_adds_to_a_run(run: Path, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished, "load", _load)
    for name in {"ensemble", "student"} - {missing}:
        (run / f".{name}.7.old").rename(run / name)
    with pytest.raises(_LoadedError):
        finished.load_models(run)
    assert (run / missing).is_dir()


def test_by_a_report_that_scores_the_ensemble(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SimpleNamespace(model=SimpleNamespace(backbone="cnn"))
    examples = SimpleNamespace(subset=lambda split: None)
    for name, stub in (
        ("load", _load),
        ("load_examples", lambda run: (config, examples)),
        ("read_metrics", lambda path: pd.DataFrame({"model": [], "split": []})),
        ("fit_beside", lambda examples: None),
    ):
        monkeypatch.setattr(beside, name, stub)
    with pytest.raises(_LoadedError):
        beside.add_beside(run)


def test_by_a_distillation_of_given_teachers(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "load", _load)
    with pytest.raises(_LoadedError):
        given.distil_given(resolve({"data": {}}), run / "ensemble", run / "out")


def test_by_octodon_motifs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution_study, "load", _load)
    said = CliRunner().invoke(app, ["motifs", str(run), "--quiet"])
    assert isinstance(said.exception, _LoadedError)


def test_by_octodon_calibrate(run: Path) -> None:
    said = CliRunner().invoke(app, ["calibrate", str(run / "student")])
    assert isinstance(said.exception, ConfigError)
    assert "--data is missing" in str(said.exception)  # what a bundle is calibrated with
