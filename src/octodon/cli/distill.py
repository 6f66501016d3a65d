"""``octodon distill``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from octodon.cli.options import Address, Executor, ExperimentFile, OutFolder, Quiet, Restart, Set, overrides


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="A student of networks that are trained already",
        epilog="Example: octodon distill experiment.toml --teachers predictions.parquet --out run",
    )(distill)


def distill(
    experiment: ExperimentFile,
    teachers: Annotated[
        Path,
        typer.Option(
            "--teachers",
            help="Member predictions of any tool (columns id, member, one per target; each id once per member), or the "
            "folder of an ensemble.",
        ),
    ],
    out: OutFolder = Path("run"),
    set: Set = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone", metavar="FILE.py:Class", help="Code of the TEACHERS' backbone, if not octodon's."
        ),
    ] = None,
    executor: Executor = None,
    address: Address = None,
    restart: Restart = False,
    quiet: Quiet = False,
) -> None:
    """Distil networks that exist already; nothing but the student is trained.

    OUT/results/fidelity.md says how well the student stands for them, how much faster it is, and where they disagree.

    A table of predictions cannot label altered copies, so distill.copies is 0 with it.
    """
    from octodon.cli.output import print_files, print_summary, print_verdict, resumable, say
    from octodon.experiment.config import load_config
    from octodon.experiment.folder import refuse_restart
    from octodon.experiment.given import distil_given

    if restart:
        refuse_restart(out)
    config = load_config(experiment, overrides(set, executor, address))
    with resumable():
        result = distil_given(config, teachers, out, backbone=backbone, progress=not quiet, say=say)
    print_summary(result.metrics)
    print_verdict(result.folder)
    print_files(result.folder)
