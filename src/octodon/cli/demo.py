"""``octodon demo``."""

from __future__ import annotations

from pathlib import Path

import typer

from octodon.cli.options import OutFolder, Quiet


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="The whole pipeline on simulated data, in three minutes",
        epilog="Example: octodon demo --out demo-run",
    )(demo)


def demo(out: OutFolder = Path("demo-run"), quiet: Quiet = False) -> None:
    """Run the whole pipeline on a simulated MPRA, with no download, in under three minutes on two cores."""
    from octodon.cli.output import print_files, print_summary, print_verdict, resumable, say
    from octodon.experiment.simulated import run_demo

    with resumable():
        result, comparison = run_demo(out, progress=not quiet, say=say)
    print_summary(result.metrics)
    print_verdict(result.folder)
    typer.echo(comparison)
    print_files(result.folder)
    typer.echo(
        f"Yours: edit {out / 'experiment.toml'}, then: octodon run {out / 'experiment.toml'} --out my-run"
    )
