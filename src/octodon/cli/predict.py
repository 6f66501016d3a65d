"""``octodon predict``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from octodon.cli.options import Backbone, Id, Quiet, Sequence


class Device(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: octodon predict run/student sequences.fa --out predictions.tsv")(predict)


def predict(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a student or an ensemble.")],
    sequences: Annotated[Path, typer.Argument(metavar="INPUT", help="FASTA, TSV, CSV (.gz) or Parquet.")],
    out: Annotated[Path, typer.Option("--out", help="File to write: .tsv, .csv or .parquet.")],
    sequence: Sequence = "sequence",
    id: Id = None,
    device: Annotated[Device, typer.Option("--device", help="auto: a GPU where there is one.")] = Device.AUTO,
    backbone: Backbone = None,
    quiet: Quiet = False,
) -> None:
    """Predict activity and its uncertainty for every sequence, in the order of the input."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from octodon.artifact.bundle import load
    from octodon.cli.output import say
    from octodon.predict.stream import predict_file

    predictor = load(bundle, backbone=backbone)
    columns = (TextColumn("predicted {task.completed:,.0f} sequences"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task("", total=None)
        rows = predict_file(
            predictor,
            sequences,
            out,
            sequence=sequence,
            id=id,
            device=device.value,
            on_rows=lambda done: progress.update(task, completed=done),
        )
    say(f"{rows:,} sequences -> {out} (units: {predictor.units})")
