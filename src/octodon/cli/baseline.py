"""``octodon baseline``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from octodon.cli.options import Quiet, parse_options


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Rivals of the student, trained on the rows of a run",
        epilog="Example: octodon baseline mc_dropout run --option passes=50",
    )(baseline)


def baseline(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which one; see octodon list baselines.")],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished octodon run.")],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="Option of the baseline; may be repeated."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train another way to an uncertainty beside a run, on the same rows, and compare it with ensemble and student.

    It is trained as the run's members were, calibrated on the same rows, and kept in RUN/baselines/NAME, a bundle for
    predict. The same in a new run: a section [baselines.NAME] in the TOML file.
    """
    from octodon.cli.output import print_comparison, resumable, say
    from octodon.experiment.baselines import add_baseline, compare

    with resumable():
        add_baseline(run, name, parse_options(option or []), progress=not quiet, say=say)
    print_comparison(compare(run))
