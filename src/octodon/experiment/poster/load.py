"""The poster's experiments by name: what each consists of, and its configuration."""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from octodon.atomic import expanded
from octodon.errors import ConfigError, DataError
from octodon.experiment.config import ExperimentConfig, parse_override, resolve, with_absolute_paths
from octodon.experiment.sweep import refuse_fraction
from octodon.registry import suggest
from octodon.settings import Config, checked, merge

POSTER = Path(__file__).parent
EXPERIMENTS = {"deepstarr": (), "lentimpra": ("K562", "HepG2")}
"""What can be reproduced, and of which cell lines."""
SCALES = ("small", "full")
PRESETS = ("default", "paper")
DATA_VARIABLE = "OCTODON_DATA"


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
        Something of that name is not known, or a setting is wrong, or is not one of ``overrides`` (preset, train_fraction).
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
        given = parse_override(override)
        if "preset" in given:
            raise ConfigError(
                f"--set {override}: the preset decides more of an experiment than this; use --preset"
            )
        config = merge(config, given)
    # --set is typed where the command runs; no file is there for paths to be relative to
    resolved = with_absolute_paths(resolve(config, where=f"octodon reproduce {what}"), Path())
    refuse_fraction(resolved)
    if resolved.ensemble.members < 3:
        raise ConfigError(
            f"ensemble.members: {resolved.ensemble.members}; octodon reproduce needs at least 3, since each member's maps are "
            f"compared with the average of the others"
        )
    return Experiment(
        name=name,
        scale=scale,
        preset=config["preset"],
        poster=poster,
        config=resolved,
        command=command or shlex.join(["octodon", "reproduce", what, *(["--cell", cell] if cell else [])]),
    )


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
        return {} if folder is None else {"folder": str(expanded(folder).resolve())}
    if folder is None and not os.environ.get(DATA_VARIABLE):
        raise DataError(
            f"--scale small: no folder with {poster.file}; give --data FOLDER, or set {DATA_VARIABLE} (docs/reproduce.md says where "
            "the file comes from)"
        )
    path = expanded(os.environ[DATA_VARIABLE] if folder is None else folder).resolve() / poster.file
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; --scale small reads it (docs/reproduce.md says where it comes from)"
        )
    return {"path": str(path)}
