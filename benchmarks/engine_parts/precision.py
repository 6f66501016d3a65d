"""What bfloat16 costs in accuracy: the same members trained in both precisions on the promoter set, judged on its test split."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

_EXPERIMENT = Path(__file__).resolve().parents[2] / "experiments" / "promoter_mpra.toml"


def accuracy_of_precisions(
    data: Path | None, members: int, environment: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return, by precision and target, test Pearson of the individuals (mean, sd, each) and of their ensemble."""
    rows = []
    for precision in ("float32", "bfloat16"):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            run = Path(folder) / "run"
            subprocess.run(
                _command(run, precision, data, members), check=True, env=dict(environment), stdout=sys.stderr
            )
            rows += read_run(run, precision)
            for row in rows[-2:]:
                row["seconds"] = time.perf_counter() - start
    return rows


def _command(run: Path, precision: str, data: Path | None, members: int) -> list[str]:
    # The student is not judged here: one epoch, no copies.
    chosen = {
        "ensemble.members": members,
        "ensemble.training.precision": precision,
        "distill.copies": 0,
        "distill.training.epochs": 1,
    }
    if data is not None:
        chosen["data.path"] = str(data.resolve())
    settings = [part for name, value in chosen.items() for part in ("--set", f"{name}={value}")]
    return [sys.executable, "-m", "octodon.cli.main", "run", str(_EXPERIMENT), "--out", str(run), *settings]


def read_run(run: Path, precision: str) -> list[dict[str, Any]]:
    """Return the rows of a finished run."""
    metrics = pd.read_csv(run / "results" / "metrics.tsv", sep="\t")
    metrics = metrics.query("split == 'test' and quantity == 'activity' and metric == 'pearson'")
    epochs = pd.read_parquet(run / "ensemble" / "history.parquet").groupby("index").size()
    rows = []
    for target, found in metrics.groupby("target", sort=False):
        individuals = found.query("model == 'individual'")["value"]
        rows.append(
            {
                "name": f"{precision}, {target}",
                "precision": precision,
                "target": target,
                "individuals": [round(value, 4) for value in individuals],
                "ensemble": round(float(found.query("model == 'ensemble'")["value"].iloc[0]), 4),
                "epochs": epochs.tolist(),
            }
        )
    return rows
