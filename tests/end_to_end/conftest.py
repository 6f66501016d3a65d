"""A tiny table and the command line in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from octodon.cli.main import main
from octodon.seq.codes import decode, random_codes

Cli = Callable[..., tuple[int, str, str]]

TINY_TOML = """\
[data]
path = "tiny.tsv"
id = "id"
targets = { A = ["A_rep1", "A_rep2"], B = "B" }
split = "split"

[model]
backbone = "deepstarr"
options = { width = 0.05 }

[ensemble]
members = 2
training = { epochs = 2, batch_size = 32 }

[distill]
copies = 2
training = { epochs = 2, batch_size = 32 }

[run]
processes = 0
"""


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Call ``octodon ARGS``; returns exit code, standard output and standard error."""

    def call(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["octodon", *map(str, args)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process draw nothing, examine nothing and write no report, for tests of something else: it is most of a tiny run's time."""
    for figure in ("history_figure", "scatter_figure", "uncertainty_figures", "risk_coverage_figure"):
        monkeypatch.setattr(f"octodon.experiment.evaluation.{figure}", lambda *_, **__: None)
    monkeypatch.setattr("octodon.experiment.run.examine", lambda _: None)
    for module in ("run", "sweep"):
        monkeypatch.setattr(f"octodon.experiment.{module}.write_report", lambda *_: None)


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Path of a TOML whose table of 160 sequences of 32 bp lies beside it."""
    write_tiny_table(tmp_path / "tiny.tsv")
    path = tmp_path / "experiment.toml"
    path.write_text(TINY_TOML)
    return path


@pytest.fixture
def tiny_table() -> Callable[..., None]:
    """Write another number of rows: ``tiny_table(path, rows=600)``."""
    return write_tiny_table


def write_tiny_table(path: Path, rows: int = 160) -> None:
    """Write sequences whose activity is their GC content plus noise."""
    rng = np.random.default_rng(0)
    codes = random_codes((rows, 32), rng)
    gc = np.isin(codes, (1, 2)).mean(1)
    lines = ["id\tsequence\tA_rep1\tA_rep2\tB\tsplit"]
    for i, sequence in enumerate(decode(codes)):
        a1, a2, b = gc[i] * 4 + rng.normal(0, 0.2, 3)
        split = "test" if i % 5 == 0 else "valid" if i % 5 == 1 else "train"
        lines.append(f"s{i}\t{sequence}\t{a1:.4f}\t{a2:.4f}\t{b:.4f}\t{split}")
    path.write_text("\n".join(lines) + "\n")
