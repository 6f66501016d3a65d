"""``octodon predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from octodon.cli.options import (
    Address,
    Backbone,
    Bundle,
    Device,
    DeviceOption,
    Executor,
    Id,
    LeftFlank,
    Length,
    Level,
    Quiet,
    RightFlank,
    Sequence,
    Uncalibrated,
)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Activity and its uncertainty for every sequence of a file",
        epilog="Example: octodon predict run/student sequences.fa --out predictions.tsv",
    )(predict)


def predict(
    bundle: Bundle,
    sequences: Annotated[Path, typer.Argument(metavar="INPUT", help="FASTA, TSV, CSV (.gz) or Parquet.")],
    out: Annotated[Path, typer.Option("--out", help="File to write: .tsv, .csv or .parquet.")],
    sequence: Sequence = "sequence",
    id: Id = None,
    length: Annotated[
        Length,
        typer.Option(
            "--length",
            help="Sequences of another length than the model's: refuse, crop to the centre, or add flanks.",
        ),
    ] = Length.REFUSE,
    left_flank: LeftFlank = "",
    right_flank: RightFlank = "",
    level: Level = None,
    uncalibrated: Uncalibrated = False,
    device: DeviceOption = Device.AUTO,
    executor: Executor = None,
    address: Address = None,
    backbone: Backbone = None,
    quiet: Quiet = False,
) -> None:
    """Predict activity and its uncertainty for every sequence, in the order of the input.

    A calibrated model adds T_calibrated_std, T_lower, T_upper for each target T, and a column that names the method of the
    interval, its level, and of how many replicates the measured value is the mean.

    With --executor ray, chunks of the file are answered by all nodes of a cluster; the output is the same.
    """
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from octodon.artifact.bundle import load
    from octodon.calibration.answer import answer
    from octodon.cli.output import say
    from octodon.data.lengths import LengthPolicy
    from octodon.ensemble.execution import executing
    from octodon.predict.stream import predict_file
    from octodon.records import check_level

    predictor = load(bundle, backbone=backbone)
    if level is not None:
        check_level(level, "--level")
    policy = LengthPolicy(
        policy=length.value,
        length_bp=predictor.model.length,
        left_flank=left_flank,
        right_flank=right_flank,
    )
    columns = (TextColumn("predicted {task.completed:,.0f} sequences"), TimeElapsedColumn())
    with (
        executing(executor=executor or "local", address=address, device=device.value) as execution,
        Progress(*columns, console=Console(stderr=True), disable=quiet) as progress,
    ):
        task = progress.add_task("", total=None)
        rows = predict_file(
            predictor,
            sequences,
            out,
            sequence=sequence,
            id=id,
            length=policy,
            device=execution.device,
            workers=execution.workers,
            finish=lambda said: answer(said, predictor.calibration, level=level, calibrated=not uncalibrated),
            on_rows=lambda done: progress.update(task, completed=done),
        )
    say(f"{rows:,} sequences -> {out} (units: {predictor.units})")
