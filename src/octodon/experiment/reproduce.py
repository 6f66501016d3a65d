"""An experiment of the poster from data to a page, or going on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from octodon.experiment.attribution_study import study_run, study_settings, write_study
from octodon.experiment.examine_config import NOTHING
from octodon.experiment.poster.differences import differences
from octodon.experiment.poster.load import Experiment
from octodon.experiment.run import Say
from octodon.experiment.shift import shift_request, shift_run, shift_settings, write_shift
from octodon.experiment.sweep import run_sweep
from octodon.metrics.tables import read_metrics
from octodon.report.page import write_report
from octodon.report.published import SHIFTS, fallback_notes
from octodon.report.reproduction import Reproduction, write_reproduction
from octodon.report.results import read_results
from octodon.shifts.shift import DEFAULT_SHIFTS

PUBLISHED_SHIFTS = tuple(shift for shift in DEFAULT_SHIFTS if shift.label in SHIFTS)
# Each is the file that is written last of its part.
_SHIFT_FIGURE, _STUDY_FIGURE = "shift.svg", "attribution_variability.svg"


def reproduce(
    one: Experiment, out: str | Path, *, progress: bool = True, say: Say = lambda line: None
) -> tuple[Reproduction, list[Path]]:
    """Make an experiment in a folder, or go on with it; return what was found, and the paths of its page, table and text.

    One run folder per share of the training set; shift and attribution study in that of the largest share. What is finished is
    kept.

    Raises
    ------
    ConfigError, DataError, RunError
        As ``run_sweep``, ``shift_run`` and ``study_run``.
    """
    folder, fractions = Path(out), sorted(one.poster.fractions)
    # shift and attribution study are the poster's, below
    config = one.config.model_copy(update={"examine": NOTHING})
    run_sweep(config, fractions, folder, progress=progress, say=say)
    run = folder / f"fraction_{fractions[-1]:g}"
    _examine_shift(one, run, say)
    _explain(one, run, say)
    last = max((run / "figures" / name).stat().st_mtime for name in (_SHIFT_FIGURE, _STUDY_FIGURE))
    if (run / "report.html").stat().st_mtime < last:
        write_report(run)
    found = _reproduction(one, run)
    return found, write_reproduction(found, folder)


def _examine_shift(one: Experiment, run: Path, say: Say) -> None:
    """Judge the models on shifted sequences, unless the very same was done; what was asked for otherwise gives way to it."""
    asked: dict[str, Any] = {"shifts": PUBLISHED_SHIFTS, "seed": one.config.seed}
    figure, made = run / "figures" / _SHIFT_FIGURE, shift_settings(run)
    if made == shift_request(**asked) and figure.is_file():
        say(f"kept: {figure}")
        return
    say(f"shift: three shifts of the test set{_anew(made, shift_request(**asked))}")
    found = shift_run(run, **asked, backbone=one.config.model.backbone, device=one.config.run.device_here)
    write_shift(found.table, run, found.units, found.settings)


def _anew(made: dict[str, Any] | None, asked: dict[str, Any]) -> str:
    return "" if made in (None, asked) else ", anew: the one that is there was asked for something else"


def _explain(one: Experiment, run: Path, say: Say) -> None:
    """Make the attribution study, unless the very same was made; one of other settings gives way to it."""
    settings: dict[str, Any] = one.poster.attribution.model_dump() | {
        "targets": None,
        "seed": one.config.seed,
        "ensemble": "ensemble" if one.stages == 1 else "ensemble_activity",
    }
    figure, made = run / "figures" / _STUDY_FIGURE, study_settings(run)
    asked = settings | {"truth": False}
    if made == asked and figure.is_file():
        say(f"kept: {figure}")
        return
    say(f"attribution: {settings['method']}, {settings['sequences']:,} sequences{_anew(made, asked)}")
    backbone, device = one.config.model.backbone, one.config.run.device_here
    write_study(study_run(run, **settings, backbone=backbone, device=device), run)


def _reproduction(one: Experiment, run: Path) -> Reproduction:
    results = read_results(run)
    return Reproduction(
        title=one.poster.title,
        scale=one.scale,
        preset=one.preset,
        data=one.poster.data,
        stand_in=one.poster.stand_in,
        published_as=one.poster.published_as,
        method=one.poster.attribution.method,
        differs=differences(one, results.data["splits"].get("train", 0), fallback_notes(results)),
        command=one.command,
        run=results,
        sweep=read_metrics(run.parent / "results" / "metrics.tsv"),
    )
