"""Simulated tables on disk, and the demonstration that runs on one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from octodon.atomic import write_text
from octodon.data.simulate import simulate
from octodon.data.write import write_table, write_truth
from octodon.experiment.config import load_config
from octodon.experiment.run import RunResult, Say, run_experiment
from octodon.metrics.pearson import pearson

DEMO_TOML = """\
# A complete experiment; `octodon run --help` and the README say what else can be set.
[data]
path = "simulated.tsv.gz"
id = "id"
targets = { A = ["A_rep1", "A_rep2", "A_rep3"], B = ["B_rep1", "B_rep2", "B_rep3"] }
units = "log2(RNA/DNA)"
split = "split"

[model]
backbone = "deepstarr"
options = { width = 0.4 }   # of the published channels: the demonstration should take three minutes

[ensemble]
members = 4                 # default: 10
training = { epochs = 32 }  # default: 40 for so few sequences

[distill]
copies = 16                 # default: 31 for so few sequences, seen twice
training = { epochs = 4 }
"""
_ROWS, _LENGTH = 4000, 100
_SUFFIX = re.compile(r"\.([ct]sv(\.gz)?|parquet)$", re.IGNORECASE)
"""Of a table; what else of a name is behind a dot tells it from others."""


def write_simulation(out: Path, *, rows: int, length: int, replicates: int = 3, seed: int = 0) -> Path:
    """Write a simulated table to ``out`` and the truth beside it, ``NAME_truth.parquet``; return the path of the truth."""
    simulation = simulate(rows, length, replicates=replicates, seed=seed)
    write_table(simulation.examples, out)
    truth = out.with_name(f"{_SUFFIX.sub('', out.name)}_truth.parquet")
    write_truth(simulation, truth)
    return truth


def run_demo(out: Path, *, progress: bool = True, say: Say = lambda line: None) -> tuple[RunResult, str]:
    """Simulate an MPRA in ``out``, run the experiment in ``out/run``; return it and how it compares with the truth."""
    toml = out / "experiment.toml"
    if not toml.is_file():
        write_simulation(out / "simulated.tsv.gz", rows=_ROWS, length=_LENGTH, seed=0)
        write_text(toml, DEMO_TOML)
        say(f"simulated {_ROWS:,} sequences of {_LENGTH} bp in {out}")
    result = run_experiment(load_config(toml), out / "run", progress=progress, say=say)
    return result, _against_truth(result)


def _against_truth(result: RunResult) -> str:
    """Return one line: correlation of the student with the true, noise-free activity, which only a simulation knows."""
    simulation = simulate(_ROWS, _LENGTH, replicates=3, seed=0)
    rows = np.flatnonzero(simulation.examples.splits == "test")
    said = result.student.predict(simulation.examples.codes[rows])
    r = pearson(said.mean.astype(np.float64), simulation.truth.activity[rows].astype(np.float64))
    values = ", ".join(f"{name} {value:.3f}" for name, value in zip(said.target_names, r, strict=True))
    return f"Student against the TRUE activity (known here, since simulated), test Pearson: {values}"
