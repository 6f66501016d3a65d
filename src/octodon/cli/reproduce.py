"""``octodon reproduce``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from octodon.cli.options import Address, Executor, Quiet, Set, overrides


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="The poster's experiments, each from data to a page",
        epilog="Examples: octodon reproduce deepstarr --data data --dry-run; octodon reproduce lentimpra --cell K562 --preset paper",
    )(reproduce)


def reproduce(
    what: Annotated[str, typer.Argument(metavar="deepstarr|lentimpra", help="Which experiment.")],
    cell: Annotated[
        str | None, typer.Option("--cell", metavar="K562|HepG2", help="Cell line, of lentimpra.")
    ] = None,
    scale: Annotated[
        str,
        typer.Option(
            "--scale",
            metavar="small|full",
            help="small: real tables of some thousand rows, fewer networks, within 40 minutes on two cores; full: the published data and sizes.",
        ),
    ] = "small",
    preset: Annotated[
        str,
        typer.Option("--preset", metavar="default|paper", help="Our choices, or the published ones."),
    ] = "default",
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Folder of the tables (small; default: OCTODON_DATA), or of the published file (full; default: it is fetched).",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to make (or to go on with); default: reproduce-EXPERIMENT-SCALE."),
    ] = None,
    fractions: Annotated[
        str | None,
        typer.Option(
            "--fractions",
            metavar="SHARE,SHARE,...",
            help="Shares of the training rows instead of the experiment's.",
        ),
    ] = None,
    sequences: Annotated[
        int | None,
        typer.Option("--sequences", min=3, help="Of the attribution study, instead of the experiment's."),
    ] = None,
    set: Set = None,
    executor: Executor = None,
    address: Address = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the parts, their sizes and the expected time.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Repeat one of the published experiments and set every number beside the published one.

    Ensembles and students with growing parts of the training set, shifted test sequences, attribution study, intervals; ends in
    reproduction.html, whose panels stand in the poster's order. An interrupted one goes on with the same command.
    """
    from octodon.cli.output import resumable, say
    from octodon.experiment.poster.load import load_experiment
    from octodon.experiment.poster.plan import plan_lines
    from octodon.experiment.reproduce import reproduce as make
    from octodon.experiment.sweep import parse_fractions
    from octodon.report.reproduction import reproduction_lines

    command = shlex.join(["octodon", *(word for word in sys.argv[1:] if word != "--dry-run")])
    experiment = load_experiment(
        what,
        cell,
        scale=scale,
        preset=preset,
        data=data,
        fractions=() if fractions is None else parse_fractions(fractions),
        sequences=sequences,
        overrides=overrides(set, executor, address),
        command=command,
    )
    for line in plan_lines(experiment):
        typer.echo(line)
    if dry_run:
        return
    folder = Path(f"reproduce-{experiment.name.replace('_', '-')}") if out is None else out
    with resumable():
        found, paths = make(experiment, folder, progress=not quiet, say=say)
    for line in reproduction_lines(found):
        typer.echo(line)
    for path in paths:
        say(f"  {path}")
