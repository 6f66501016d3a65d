"""Options that mean the same in every command."""

from __future__ import annotations

import json
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
        help="Of a Ray cluster: auto, host:6379 or ray://host:10001; default: one of this machine is started and ended.",
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
