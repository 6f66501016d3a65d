"""Options that mean the same in every command."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

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
        help="Do not go on with an earlier run: refuse a folder that holds one (nothing is ever deleted).",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Sequence = Annotated[
    str, typer.Option("--sequence", metavar="COLUMN", help="Column of the sequences in a table.")
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


class Device(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


DeviceOption = Annotated[
    Device, typer.Option("--device", help="Where to compute; auto: on a GPU where there is one.")
]
