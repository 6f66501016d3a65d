"""``octodon report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: octodon report run")(report)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="HTML file to write (default: RUN/report.html).")
    ] = None,
) -> None:
    """Write one HTML page about a run: verdict first, then data, training, accuracy, uncertainty, calibration.

    It opens in any browser without a network. A run ends with one; make it again after octodon shift, octodon ood or octodon
    attribution-study, whose results it then shows.
    """
    from octodon.report.page import verdict_of, write_report

    path = write_report(run, out)
    for line in verdict_of(run).lines():
        typer.echo(line)
    typer.echo(f"report: {path}")
