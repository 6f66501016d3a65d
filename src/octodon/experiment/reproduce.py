"""The poster's experiments, one command each: what they consist of, and the run from data to a page."""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from octodon.errors import ConfigError, DataError
from octodon.experiment.attribution_study import study_run, write_study
from octodon.experiment.config import ExperimentConfig, parse_override, resolve
from octodon.experiment.run import Say
from octodon.experiment.shift import shift_run, write_shift
from octodon.experiment.sweep import run_sweep
from octodon.metrics.tables import read_metrics
from octodon.registry import suggest
from octodon.report.page import write_report
from octodon.report.published import SHIFTS
from octodon.report.reproduction import Reproduction, write_reproduction
from octodon.report.results import read_results
from octodon.settings import Config, checked, merge
from octodon.shifts.shift import DEFAULT_SHIFTS

POSTER = Path(__file__).parent / "poster"
EXPERIMENTS = {"deepstarr": (), "lentimpra": ("K562", "HepG2")}
"""What can be reproduced, and of which cell lines."""
SCALES = ("small", "full")
PRESETS = ("default", "paper")
DATA_VARIABLE = "OCTODON_DATA"

PUBLISHED_SHIFTS = tuple(shift for shift in DEFAULT_SHIFTS if shift.label in SHIFTS)
# Each is the file that is written last of its part.
_SHIFT_FIGURE, _STUDY_FIGURE = "shift.svg", "attribution_variability.svg"
# Cost of one student in members' trainings: 24 copies twice, labels included, and the published way
# (benchmarks/results/distillation_promoter.md); alone on two cores it takes longer, one of them being idle.
_STUDENT_COST = {"default": 5.0, "paper": 1.2}
# Minutes to evaluate a run, or its shifts, and to draw the figures.
_EVALUATION = 0.5
# As published: table of hyperparameters and evaluation of the method's reference.
_PUBLISHED_NETWORKS = 10
_PUBLISHED_FRACTIONS = (0.1, 0.25, 0.5, 0.75, 1.0)
_PUBLISHED_SEQUENCES = 1000


class AttributionSection(Config):
    """The attribution study."""

    method: str
    sequences: int = Field(ge=3)
    background: int = Field(ge=1)


class CostSection(Config):
    """What the networks cost on two cores: milliseconds per training row and pass, wall time."""

    rows: int
    ms_per_row: float
    passes: float


class PosterSection(Config):
    """What is reproduced."""

    title: str
    data: str = Field(description="what was measured, in words")
    stand_in: str = Field(default="", description="what every panel says where other data stand in")
    published_as: dict[str, str] = Field(description="ours to published names of targets")
    train_rows: int = Field(description="training rows of the published experiment")
    fractions: tuple[float, ...]
    file: str = Field(default="", description="in the folder of data; none: a published set")
    attribution: AttributionSection
    cost: CostSection


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One of the poster's experiments, ready to be run.

    Attributes
    ----------
    name : str
        As its file is called: "lentimpra_k562_small".
    scale, preset : str
    poster : PosterSection
    config : ExperimentConfig
    command : str
        That makes it again.
    """

    name: str
    scale: str
    preset: str
    poster: PosterSection
    config: ExperimentConfig
    command: str

    @property
    def stages(self) -> int:
        """Ensembles that are trained: two in the lentiMPRA protocol."""
        return 1 if self.config.activity_ensemble is None else 2


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of an experiment, for a plan: what is made, and how long it takes on two cores."""

    name: str
    what: str
    minutes: float


def load_experiment(
    what: str,
    cell: str | None = None,
    *,
    scale: str = "small",
    preset: str = "default",
    data: Path | None = None,
    fractions: Sequence[float] = (),
    sequences: int | None = None,
    overrides: Sequence[str] = (),
    command: str = "",
) -> Experiment:
    """Return one of the poster's experiments.

    Parameters
    ----------
    what, cell, scale, preset : str
        Of `EXPERIMENTS`, `SCALES`, `PRESETS`; the cell line in any case of letters.
    data : Path, optional
        Folder of the data. Small scale: default the environment variable OCTODON_DATA. Full scale: where the published file
        is kept, or was put by hand; default as ``format = "set"``.
    fractions : sequence of float, optional
        Shares of the training set instead of the experiment's.
    sequences : int, optional
        Of the attribution study, instead of the experiment's.
    overrides : sequence of str
        ``"ensemble.members=5"``, as ``load_config`` takes them.
    command : str
        That makes it again.

    Raises
    ------
    ConfigError
        Something of that name is not known, or a setting is wrong.
    DataError
        The folder, or the file in it, is not there.
    """
    name = _name(what, cell, scale)
    _known("--preset", preset, PRESETS)
    content = tomllib.loads((POSTER / f"{name}.toml").read_text(encoding="utf-8"))
    poster = checked(PosterSection, content["poster"], name)
    study = poster.attribution
    poster = poster.model_copy(
        update={
            "fractions": tuple(fractions) or poster.fractions,
            "attribution": study if sequences is None else study.model_copy(update={"sequences": sequences}),
        }
    )
    published = "paper-lentimpra" if what == "lentimpra" else "paper"
    config: dict[str, Any] = {"preset": published if preset == "paper" else "default"}
    config = merge(merge(config, content["config"]), content.get(preset, {}))
    config = merge(config, {"data": _data(poster, data)})
    for override in overrides:
        config = merge(config, parse_override(override))
    return Experiment(
        name=name,
        scale=scale,
        preset=config["preset"],
        poster=poster,
        config=resolve(config, where=f"octodon reproduce {what}"),
        command=command or shlex.join(["octodon", "reproduce", what, *(["--cell", cell] if cell else [])]),
    )


def plan(one: Experiment) -> list[Part]:
    """Return the parts of an experiment in the order in which they are made.

    Minutes are rough: measured costs of a training row on two idle cores, times rows, passes and networks.
    """
    return [
        *_runs(one),
        _shifts(one),
        _maps(one),
        Part(name="page", what="reproduction.html, .tsv, .md", minutes=0.1),
    ]


def _runs(one: Experiment) -> list[Part]:
    cost, config = one.poster.cost, one.config
    students = config.distill.students * _STUDENT_COST["default" if one.preset == "default" else "paper"]
    networks = config.ensemble.members * one.stages + students
    members = f"{config.ensemble.members} members"
    members = members if one.stages == 1 else f"2 x {members}"
    passes = min(cost.passes, config.ensemble.training.epochs)
    return [
        Part(
            name=f"fraction_{fraction:g}",
            what=f"{round(fraction * cost.rows):,} training sequences: {members}, {config.distill.students} students",
            minutes=fraction * cost.rows * passes * networks * cost.ms_per_row / 60_000 + _EVALUATION,
        )
        for fraction in one.poster.fractions
    ]


def _shifts(one: Experiment) -> Part:
    """Return the part: four sets of test sequences, in all about half of the training set, a third of a pass each."""
    networks = one.config.ensemble.members + one.config.distill.students
    minutes = one.poster.cost.rows * networks * one.poster.cost.ms_per_row / 6 / 60_000 + _EVALUATION
    return Part(name="shift", what="three shifts of the test set", minutes=minutes)


def _maps(one: Experiment) -> Part:
    """Return the part: a map costs about as much as a training pass; DeepLIFT/SHAP one for each reference."""
    study, targets = one.poster.attribution, len(one.poster.published_as)
    passes = study.background if study.method == "deep_lift_shap" else 1
    networks = one.config.ensemble.members + one.config.distill.students
    what = f"{study.method}, {study.sequences:,} sequences" + (
        f" of each of {targets} targets" if targets > 1 else ""
    )
    minutes = study.sequences * passes * targets * networks * one.poster.cost.ms_per_row / 60_000
    return Part(name="attribution", what=what, minutes=minutes)


def plan_lines(one: Experiment) -> list[str]:
    """Return the plan as ``--dry-run`` prints it."""
    parts = plan(one)
    width = max(len(part.what) for part in parts)
    whole = sum(part.minutes for part in parts)
    lines = [
        f"{one.poster.title}, {one.scale} scale, preset {one.preset}: {one.poster.data}",
        *(f"  {part.name:<14} {part.what:<{width}}  {_time(part.minutes)}" for part in parts),
        f"About {_time(whole)} on two cores. Interrupted, the same command goes on.",
    ]
    if one.poster.stand_in:
        lines.insert(1, f"  note: {one.poster.stand_in}; every panel says so")
    return lines


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
    run_sweep(one.config, fractions, folder, progress=progress, say=say)
    run = folder / f"fraction_{fractions[-1]:g}"
    _examine_shift(one, run, say)
    _explain(one, run, say)
    last = max((run / "figures" / name).stat().st_mtime for name in (_SHIFT_FIGURE, _STUDY_FIGURE))
    if (run / "report.html").stat().st_mtime < last:
        write_report(run)
    found = _reproduction(one, run)
    return found, write_reproduction(found, folder)


def _examine_shift(one: Experiment, run: Path, say: Say) -> None:
    """Judge the models on shifted sequences, unless that was done."""
    if _is_there(run / "figures" / _SHIFT_FIGURE, say):
        return
    say("shift: three shifts of the test set")
    device = one.config.run.device_here
    table, units = shift_run(run, shifts=PUBLISHED_SHIFTS, seed=one.config.seed, device=device)
    write_shift(table, run, units)


def _explain(one: Experiment, run: Path, say: Say) -> None:
    """Make the attribution study, unless that was done."""
    if _is_there(run / "figures" / _STUDY_FIGURE, say):
        return
    study = one.poster.attribution
    say(f"attribution: {study.method}")
    maps = study_run(
        run,
        method=study.method,
        sequences=study.sequences,
        background=study.background,
        seed=one.config.seed,
        device=one.config.run.device_here,
        ensemble="ensemble" if one.stages == 1 else "ensemble_activity",
    )
    write_study(maps, run)


def _is_there(path: Path, say: Say) -> bool:
    if path.is_file():
        say(f"kept: {path}")
    return path.is_file()


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
        differs=_differs(one, results.data["splits"].get("train", 0)),
        command=one.command,
        run=results,
        sweep=read_metrics(run.parent / "results" / "metrics.tsv"),
    )


def _differs(one: Experiment, rows: int) -> list[tuple[str, str, str]]:
    config, poster = one.config, one.poster
    is_lentimpra = "lentiMPRA" in poster.title
    options = ", ".join(f"{key} = {value}" for key, value in config.model.options.items())
    stages = "activity ensemble, ensemble of activity and noise, student"
    table = [
        ("training sequences", f"{poster.train_rows:,}", f"{rows:,}: {poster.data}"),
        ("members", str(_PUBLISHED_NETWORKS), str(config.ensemble.members)),
        ("students", str(_PUBLISHED_NETWORKS), str(config.distill.students)),
        ("shares of the training set", _shares(_PUBLISHED_FRACTIONS), _shares(poster.fractions)),
        (
            "network",
            "residualbind" if is_lentimpra else "deepstarr",
            config.model.backbone + (f" ({options})" if options else ""),
        ),
        ("choices", "paper-lentimpra" if is_lentimpra else "paper", one.preset),
        (
            "calibration rows",
            "none",
            "none"
            if config.calibrate.method == "none"
            else f"{config.calibrate.fraction_of_valid:.0%} of the validation rows",
        ),
        ("sequences explained", f"{_PUBLISHED_SEQUENCES:,}", f"up to {poster.attribution.sequences:,}"),
    ]
    if is_lentimpra:
        ours = stages if one.stages == 2 else "one ensemble of activity and noise, student"
        table.insert(3, ("stages", stages, ours))
    return table


def _shares(fractions: Sequence[float]) -> str:
    return ", ".join(f"{fraction:g}" for fraction in fractions)


def _name(what: str, cell: str | None, scale: str) -> str:
    _known("octodon reproduce", what, EXPERIMENTS)
    _known("--scale", scale, SCALES)
    cells = EXPERIMENTS[what]
    if not cells:
        if cell is not None:
            raise ConfigError(f"--cell {cell}: {what} has no cell lines; leave --cell out")
        return f"{what}_{scale}"
    if cell is None:
        raise ConfigError(
            f"octodon reproduce {what}: which cell line? give --cell {' or --cell '.join(cells)}"
        )
    by_lower = {name.lower(): name for name in cells}
    _known("--cell", by_lower.get(cell.lower(), cell), cells)
    return f"{what}_{cell.lower()}_{scale}"


def _known(where: str, name: str, names: Sequence[str] | dict[str, Any]) -> None:
    if name not in names:
        raise ConfigError(f"{where}: no {name!r}; {suggest(name, list(names))}")


def _data(poster: PosterSection, folder: Path | None) -> dict[str, str]:
    """Return what the place of the data adds to ``[data]``."""
    if not poster.file:
        return {} if folder is None else {"folder": str(folder.expanduser().resolve())}
    if folder is None and not os.environ.get(DATA_VARIABLE):
        raise DataError(
            f"--scale small: no folder with {poster.file}; give --data FOLDER, or set {DATA_VARIABLE} (docs/reproduce.md says where "
            "the file comes from)"
        )
    path = (
        Path(os.environ[DATA_VARIABLE]) if folder is None else folder
    ).expanduser().resolve() / poster.file
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; --scale small reads it (docs/reproduce.md says where it comes from)"
        )
    return {"path": str(path)}


def _time(minutes: float) -> str:
    if minutes >= 48 * 60:
        return f"{minutes / 1440:.0f} days"
    if minutes >= 90:
        return f"{minutes / 60:.0f} h"
    return "under 1 min" if minutes < 1 else f"{minutes:.0f} min"
