"""``octodon shift``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from octodon.cli.options import Backbone, Device, DeviceOption, Quiet


class Length(StrEnum):
    """What to do with given sequences of another length than the model's."""

    REFUSE = "refuse"
    CROP = "crop"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Error, uncertainty and coverage under distribution shift",
        epilog="Examples: octodon shift run; octodon shift run --shift mutagenesis:fraction=0.1 --also ecoli=ecoli.fa --length crop",
    )(shift)


def shift(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    shifts: Annotated[
        list[str] | None,
        typer.Option(
            "--shift",
            metavar="NAME[:OPTION=VALUE]",
            help="See octodon list shifts; may be repeated (default: seven of them).",
        ),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--also",
            metavar="NAME=FILE",
            help="Further sequences: FASTA, or a table, with measurements if it has the columns of the run's targets; repeat.",
        ),
    ] = None,
    of: Annotated[
        str, typer.Option("--of", metavar="SPLIT", help="Rows of the run that are shifted.")
    ] = "test",
    length: Annotated[
        Length,
        typer.Option("--length", help="Given sequences that are longer: refuse, or crop to the centre."),
    ] = Length.REFUSE,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same sets.")] = 0,
    device: DeviceOption = Device.AUTO,
    backbone: Backbone = None,
    quiet: Quiet = False,
) -> None:
    """Judge ensemble and student on sequences unlike the training sequences: error, doubt, intervals.

    Every shifted copy of the test set, every split that the run kept aside, and every given set: error of individual, ensemble
    and student against the ensemble's mean and the measurement, epistemic std, coverage and width of intervals before and after
    calibration, the share flagged as out of the distribution.
    """
    from octodon.cli.output import counting, say
    from octodon.experiment.finished import refuse_unwritable_run
    from octodon.experiment.shift import shift_run, write_shift
    from octodon.experiment.shift_sets import parse_sets
    from octodon.metrics.shift_summary import shift_lines
    from octodon.shifts.shift import DEFAULT_SHIFTS, parse_shift

    chosen = DEFAULT_SHIFTS if not shifts else tuple(parse_shift(text) for text in shifts)
    sets = parse_sets(given or [])
    refuse_unwritable_run(run)
    with counting("sets", quiet) as count:
        found = shift_run(
            run,
            shifts=chosen,
            given=sets,
            split=of,
            crop=length is Length.CROP,
            seed=seed,
            backbone=backbone,
            device=device.value,
            on_sets=count,
        )
    typer.echo(shift_lines(found.table, found.units))
    for file in write_shift(found.table, run, found.units, found.settings):
        say(f"  {file}")
