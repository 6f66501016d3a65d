"""``octodon run``."""

from __future__ import annotations

from pathlib import Path

import typer

from octodon.cli.options import Address, Executor, ExperimentFile, OutFolder, Quiet, Restart, Set, overrides


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="From a TOML file to ensemble, student, metrics, figures",
        epilog="Example: octodon run experiment.toml --out run --set ensemble.members=5",
    )(run)


def run(
    experiment: ExperimentFile,
    out: OutFolder = Path("run"),
    set: Set = None,
    executor: Executor = None,
    address: Address = None,
    restart: Restart = False,
    quiet: Quiet = False,
) -> None:
    """Train the ensemble, distil the student, evaluate both on the test set.

    In a folder where the same experiment was interrupted it goes on: finished networks are kept, the others go on from
    their last checkpoint. A finished folder is left as it is. Ctrl-C stops at once; the same command goes on.
    """
    from octodon.cli.output import print_files, print_summary, print_verdict, resumable, say
    from octodon.experiment.config import load_config
    from octodon.experiment.folder import refuse_restart
    from octodon.experiment.run import run_experiment

    if restart:
        refuse_restart(out)
    with resumable():
        result = run_experiment(
            load_config(experiment, overrides(set, executor, address)), out, progress=not quiet, say=say
        )
    print_summary(result.metrics)
    print_verdict(result.folder)
    print_files(result.folder)
