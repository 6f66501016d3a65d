"""Options that mean the same in every command, and what becomes of them."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from octodon.data.lengths import LengthPolicy

ExperimentFile = Annotated[
    Path, typer.Argument(metavar="EXPERIMENT.toml", help="The experiment's TOML file.")
]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder to make (or to go on with).")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Override a setting of the TOML file, such as ensemble.members=5; may be repeated.",
    ),
]
Restart = Annotated[
    bool,
    typer.Option(
        "--restart",
        help="Refuse to resume an existing run (nothing is ever deleted).",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Sequence = Annotated[
    str, typer.Option("--sequence", metavar="COLUMN", help="Column of the sequences in a table.")
]
Executor = Annotated[
    str | None,
    typer.Option(
        "--executor", metavar="local|ray", help="Where networks are computed: this machine, or a Ray cluster."
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Address of a Ray cluster: auto, host:6379 or ray://host:10001; default: start a local one.",
    ),
]
Id = Annotated[
    str | None,
    typer.Option(
        "--id", metavar="COLUMN", help="Column of the identifiers in a table (default: row numbers)."
    ),
]
Backbone = Annotated[
    str | None,
    typer.Option(
        "--backbone", metavar="FILE.py:Class", help="The code of a backbone of your own: bundles carry none."
    ),
]
Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a student or an ensemble.")]
Fasta = Annotated[
    Path,
    typer.Option(
        "--fasta", help="Genome: FASTA with an index (samtools faidx), or small enough to be read whole."
    ),
]


Level = Annotated[
    float | None,
    typer.Option(
        "--level",
        metavar="SHARE",
        help="Level of the interval (0.9 = 90 %); default: that of the calibration.",
    ),
]
Uncalibrated = Annotated[
    bool,
    typer.Option(
        "--uncalibrated",
        help="Leave the calibration out; with --level: mean +- z std of one measurement.",
    ),
]


class Length(StrEnum):
    """What to do with sequences of another length than the model's."""

    REFUSE = "refuse"
    CROP = "crop"
    FLANK = "flank"


LeftFlank = Annotated[
    str,
    typer.Option("--left-flank", metavar="SEQ", help="Bases put before each sequence, for --length flank."),
]
RightFlank = Annotated[
    str,
    typer.Option("--right-flank", metavar="SEQ", help="Bases put behind each sequence, for --length flank."),
]
Title = Annotated[str | None, typer.Option("--title", help="Heading of the page.")]
AttributionMethod = Annotated[
    str, typer.Option("--method", metavar="NAME", help="Attribution method; see octodon list methods.")
]
MapSeed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same maps.")]


def policy_of(bundle: Path, length: Length | None, left_flank: str, right_flank: str) -> LengthPolicy:
    """Return the policy asked for, or else the one that the model's run read its data with."""
    from octodon.artifact.bundle import read_provenance
    from octodon.data.lengths import REFUSE, LengthPolicy
    from octodon.errors import ConfigError, DataError

    if length is None and (left_flank or right_flank):
        length = Length.FLANK
    if length is not None:
        # any length: the page knows that of the model
        return LengthPolicy(policy=length.value, length_bp=1, left_flank=left_flank, right_flank=right_flank)
    read_as: Any = read_provenance(bundle)
    for key in ("config", "data", "length"):  # what somebody else gave as provenance may be anything
        read_as = read_as.get(key) if isinstance(read_as, dict) else None
    try:
        return LengthPolicy(**read_as) if isinstance(read_as, dict) else REFUSE
    except (ConfigError, DataError, TypeError):
        return REFUSE


def parse_options(texts: list[str]) -> dict[str, Any]:
    """Return ``{"bins": 5}`` for ``["bins=5"]``, as --option is given; values are TOML, or plain text.

    Raises
    ------
    ConfigError
        A text of another form.
    """
    import tomllib

    from octodon.errors import ConfigError

    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--option {text!r}: expected NAME=VALUE, for example bins=5")
        try:
            options[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            options[name.strip()] = value
    return options


def overrides(set: list[str] | None, executor: str | None, address: str | None) -> list[str]:
    """Return what a command's options change in the experiment's TOML."""
    given = {"executor": executor, "address": address}
    return [
        *(set or []),
        *(f"run.{name}={json.dumps(value)}" for name, value in given.items() if value is not None),
    ]


class Device(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


DeviceOption = Annotated[
    Device, typer.Option("--device", help="Where to compute; auto: on a GPU where there is one.")
]
