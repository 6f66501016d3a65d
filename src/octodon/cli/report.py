"""``octodon report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="One HTML page about a run: verdict first, then why",
        epilog="Example: octodon report run",
    )(report)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="HTML file to write (default: RUN/report.html).")
    ] = None,
) -> None:
    """Write one HTML page about a run: verdict first, then data, training, accuracy, uncertainty, calibration.

    It opens in any browser without a network. A run ends with one; make it again after octodon shift, ood, baseline or
    attribution-study, whose results it then shows; octodon sweep does so for its largest fraction. A run of an earlier version gets its k-mer ridge first, from its data.
    """
    from octodon.cli.output import say
    from octodon.errors import OctodonError
    from octodon.report.page import verdict_of, write_report
    from octodon.report.results import read_results

    if read_results(run).kmer_ridge is None:
        from octodon.experiment.beside import add_beside

        say("no k-mer ridge in this run yet: fitting it")
        try:
            add_beside(run)
        except OctodonError as error:  # the data may have moved: the report then says that there is none
            say(f"note: {error}")
    path = write_report(run, out)
    for line in verdict_of(run).lines():
        typer.echo(line)
    typer.echo(f"report: {path}")
