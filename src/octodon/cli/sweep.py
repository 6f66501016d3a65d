"""``octodon sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from octodon.cli.options import Address, Executor, ExperimentFile, OutFolder, Quiet, Restart, Set, overrides


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="How accuracy grows with the number of training sequences",
        epilog="Example: octodon sweep experiment.toml --fractions 0.1,0.25,0.5,0.75,1 --out sweep",
    )(sweep)


def sweep(
    experiment: ExperimentFile,
    fractions: Annotated[
        str,
        typer.Option(
            "--fractions",
            metavar="SHARE,SHARE,...",
            help="Shares of the training rows; smaller ones lie within larger ones.",
        ),
    ] = "0.1,0.25,0.5,0.75,1",
    out: OutFolder = Path("sweep"),
    set: Set = None,
    executor: Executor = None,
    address: Address = None,
    restart: Restart = False,
    quiet: Quiet = False,
) -> None:
    """Repeat the experiment per training fraction and draw accuracy against the amount of data.

    An interrupted sweep goes on: finished fractions are kept, the one that was running goes on from its checkpoints.
    """
    from octodon.cli.output import resumable, say
    from octodon.experiment.config import load_config
    from octodon.experiment.folder import refuse_restart
    from octodon.experiment.sweep import parse_fractions, run_sweep

    if restart:
        refuse_restart(out)
    config = load_config(experiment, overrides(set, executor, address))
    with resumable():
        figure = run_sweep(config, parse_fractions(fractions), out, progress=not quiet, say=say)
    say(f"curves: {figure}; numbers: {out / 'results' / 'metrics.tsv'}")
