"""``octodon predict``: its options reach the prediction, its mistakes are one line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
from tiny import LENGTH, TARGETS
from typer.testing import CliRunner

from octodon.artifact.bundle import save
from octodon.cli.main import app
from octodon.distillation.student import Student
from octodon.errors import ConfigError, DataError, OctodonError


@pytest.fixture
def student(tmp_path: Path) -> Student:
    """A student in a bundle, as a run leaves it."""
    made = tiny.student()
    save(made, tmp_path / "student")
    return made


def _run(folder: Path, *options: str) -> OctodonError | None:
    command = ["predict", str(folder / "student"), str(folder / "in.tsv"), "--quiet", *options]
    result = CliRunner().invoke(app, command)
    assert result.exception is None or isinstance(result.exception, OctodonError), result.output
    return result.exception


def test_length_flanks_and_device_are_options(student: Student, tmp_path: Path) -> None:
    sequences = ["ACGTT" * 4, "GATTA" * 4]
    pd.DataFrame({"sequence": sequences}).to_csv(tmp_path / "in.tsv", sep="\t", index=False)
    out = str(tmp_path / "out.tsv")
    refused = _run(tmp_path, "--out", out)
    assert isinstance(refused, DataError)
    assert "--length flank with --left-flank and --right-flank" in str(refused)
    flanks = ("--length", "flank", "--left-flank", "AACCGG", "--right-flank", "TGCATG")
    assert _run(tmp_path, "--out", out, *flanks, "--device", "cpu") is None
    got = pd.read_csv(out, sep="\t")[[f"{target}_mean" for target in TARGETS]].to_numpy()
    expected = student.predict(["AACCGG" + s + "TGCATG" for s in sequences], device="cpu").mean
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.usefixtures("student")
def test_the_input_and_flanks_without_their_policy_are_refused(tmp_path: Path) -> None:
    pd.DataFrame({"sequence": ["A" * LENGTH]}).to_csv(tmp_path / "in.tsv", sep="\t", index=False)
    assert isinstance(_run(tmp_path, "--out", str(tmp_path / "in.tsv")), ConfigError)
    assert isinstance(_run(tmp_path, "--out", str(tmp_path / "o.tsv"), "--left-flank", "ACG"), ConfigError)
    assert not (tmp_path / "o.tsv").exists()
