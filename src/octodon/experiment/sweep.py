"""Repeat an experiment per fraction of the training data: the low-data curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from octodon.errors import ConfigError
from octodon.experiment.config import ExperimentConfig
from octodon.experiment.run import Say, run_experiment
from octodon.metrics.evaluate import write_metrics
from octodon.report.sweep import sweep_figure


def parse_fractions(text: str) -> list[float]:
    """Return the fractions of ``"0.1,0.25,1"``, ascending; anything but numbers above 0 and at most 1 is a ConfigError."""
    try:
        fractions = sorted({float(part) for part in text.split(",")})
    except ValueError:
        raise ConfigError(
            f"--fractions {text!r}: expected numbers separated by commas, for example 0.1,0.5,1"
        ) from None
    if not fractions or not all(0 < fraction <= 1 for fraction in fractions):
        raise ConfigError(f"--fractions {text!r}: each must be above 0 and at most 1")
    return fractions


def run_sweep(
    config: ExperimentConfig,
    fractions: Sequence[float],
    out: str | Path,
    *,
    progress: bool = True,
    say: Say = lambda line: None,
) -> Path:
    """Run the experiment once per fraction, each in its own folder, and return the path of the figure.

    Training sets are nested (the rows of 10 % are among those of 25 %); validation and test stay whole. Folders of fractions
    that are finished are kept, so an interrupted sweep goes on.
    """
    folder = Path(out)
    tables = []
    for fraction in fractions:
        say(f"fraction {fraction:g} of the training rows")
        part = config.model_copy(update={"train_fraction": fraction})
        result = run_experiment(part, folder / f"fraction_{fraction:g}", progress=progress, say=say)
        tables.append(result.metrics.assign(fraction=fraction))
    metrics = pd.concat(tables, ignore_index=True)
    (folder / "results").mkdir(parents=True, exist_ok=True)
    (folder / "figures").mkdir(exist_ok=True)
    write_metrics(metrics, folder / "results" / "metrics.tsv")
    figure = folder / "figures" / "sweep.svg"
    sweep_figure(metrics, figure, str(config.data.get("units", "activity")))
    return figure
