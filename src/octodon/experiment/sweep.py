"""Repeat an experiment per fraction of the training data: the low-data curves."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from octodon.atomic import make_folder
from octodon.ensemble.execution import executing, is_client
from octodon.ensemble.jobs import Needs
from octodon.errors import ConfigError, RunError
from octodon.experiment.config import ExperimentConfig
from octodon.experiment.examine_config import NOTHING
from octodon.experiment.folder import RunFolder, hold
from octodon.experiment.run import Say, run_experiment
from octodon.metrics.evaluate import write_metrics
from octodon.report.page import write_report
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


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """One fraction, as a job whose networks are jobs of their own."""

    config: ExperimentConfig
    folder: Path

    @property
    def needs(self) -> Needs:
        """A core of this machine, where the data are."""
        return Needs(here=True)

    @property
    def reads(self) -> tuple[Path, ...]:
        """Nothing that would have to be brought."""
        return ()

    @property
    def writes(self) -> tuple[Path, ...]:
        """The run folder."""
        return (self.folder,)

    def moved(self, to: Callable[[Path], Path]) -> SweepPoint:
        """Return the same point in another folder."""
        return replace(self, folder=to(self.folder))


def _run_point(point: SweepPoint) -> None:
    run_experiment(point.config, point.folder, progress=False)


def _run_side_by_side(points: Sequence[SweepPoint], say: Say) -> None:
    """Run all points as tasks of a cluster, saying of each what its log says."""
    told = [0] * len(points)

    def tell() -> None:
        for number, point in enumerate(points):
            log = point.folder / "events.jsonl"
            lines = log.read_text().splitlines(keepends=True) if log.is_file() else []
            whole = [line for line in lines if line.endswith("\n")]
            for line in whole[told[number] :]:
                say(f"{point.folder.name}: {json.loads(line)['event']}")
            told[number] = len(whole)

    settings = points[0].config.run
    with executing(**settings.model_dump(), progress=False) as execution:
        execution.workers.run(_run_point, points, on_tick=tell)


def refuse_fraction(config: ExperimentConfig) -> None:
    """Refuse an experiment that names a share of the training rows itself: a sweep puts its own in the place of it.

    Raises
    ------
    ConfigError
    """
    if config.train_fraction != 1:
        raise ConfigError(
            f"train_fraction: {config.train_fraction:g} has no effect here, where every run has a share of its own; leave it "
            f"out, and use --fractions"
        )


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
    that are finished are kept, so an interrupted sweep goes on. On a cluster the fractions run side by side (not through
    ray://, where this machine is no part of it). Shifts and attribution are examined of the last fraction alone, whose report is
    written again, with the curves.

    Raises
    ------
    RunError
        The folder holds a run, or as ``run_experiment``.
    ConfigError, DataError, BundleError
        As ``refuse_fraction`` and ``run_experiment``.
    """
    refuse_fraction(config)
    folder = Path(out)
    points = [
        SweepPoint(
            config=config.model_copy(
                update={"train_fraction": fraction}
                | ({} if fraction == fractions[-1] else {"examine": NOTHING})
            ),
            folder=folder / f"fraction_{fraction:g}",
        )
        for fraction in fractions
    ]
    with hold(folder):
        _refuse_run(folder)
        metrics = _run_points(points, progress, say)
        for name in ("results", "figures"):
            make_folder(folder / name)
        write_metrics(metrics, folder / "results" / "metrics.tsv")
        figure = folder / "figures" / "sweep.svg"
        sweep_figure(metrics, figure, str(config.data.get("units", "activity")))
        say(f"report, with the curves: {write_report(points[-1].folder)}")
    return figure


def _refuse_run(folder: Path) -> None:
    """Refuse a folder whose metrics are those of a run: those of the sweep would take their place."""
    run = RunFolder(folder)
    if run.is_begun or run.is_finished:
        raise RunError(f"--out {folder}: holds a run; choose another folder, nothing is written over")


def _run_points(points: Sequence[SweepPoint], progress: bool, say: Say) -> pd.DataFrame:
    """Run all points, or take those that are finished; return their metrics with a column ``fraction``."""
    settings = points[0].config.run
    if settings.executor == "ray" and not is_client(settings.address):
        _run_side_by_side(points, say)
    tables = []
    for point in points:
        fraction = point.config.train_fraction
        say(f"fraction {fraction:g} of the training rows")
        result = run_experiment(point.config, point.folder, progress=progress, say=say)
        tables.append(result.metrics.assign(fraction=fraction))
    return pd.concat(tables, ignore_index=True)
