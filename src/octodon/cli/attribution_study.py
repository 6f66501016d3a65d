"""``octodon attribution-study``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from octodon.cli.options import AttributionMethod, Backbone, Device, DeviceOption, MapSeed, Quiet


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "attribution-study",
        short_help="Do students explain more steadily than single members?",
        epilog="Example: octodon attribution-study run --method deep_lift_shap --sequences 1000",
    )(attribution_study)


def attribution_study(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    method: AttributionMethod = "deep_lift_shap",
    target: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="TARGET", help="Target to explain; may be repeated (default: all)."),
    ] = None,
    sequences: Annotated[
        int,
        typer.Option(
            "--sequences", min=3, help="Number of test sequences per target, highest measured activity first."
        ),
    ] = 1000,
    background: Annotated[
        int,
        typer.Option(
            "--background",
            min=1,
            help="Dinucleotide shuffles per sequence used as background.",
        ),
    ] = 20,
    seed: MapSeed = 0,
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth",
            help="NAME_truth.parquet of octodon simulate: adds how many planted motifs the maps find.",
        ),
    ] = None,
    device: DeviceOption = Device.AUTO,
    backbone: Backbone = None,
    quiet: Quiet = False,
) -> None:
    """Compare the maps of students with those of single members: likeness to the ensemble's map, variability."""
    from octodon.cli.output import counting, say
    from octodon.experiment.attribution_study import study_run, write_study
    from octodon.experiment.finished import refuse_unwritable_run

    refuse_unwritable_run(run)
    with counting("maps", quiet) as count:
        found = study_run(
            run,
            method=method,
            targets=target,
            sequences=sequences,
            background=background,
            seed=seed,
            truth=truth,
            backbone=backbone,
            device=device.value,
            on_maps=count,
        )
    for note in found.notes:
        say(f"note: {note}")
    for line in found.lines():
        typer.echo(line)
    for file in write_study(found, run):
        say(f"  {file}")
