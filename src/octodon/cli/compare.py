"""``octodon compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Two runs side by side on the same test sequences",
        epilog="Example: octodon compare run-paper run-default --out comparison",
    )(compare)


def compare(
    a: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    b: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of another finished run.")],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for page, table and figure; written anew.")
    ] = Path("comparison"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap draws.")] = 0,
) -> None:
    """Say which of two runs is better, on the test sequences that both have, and how sure that is.

    Individual members, ensemble, student and calibration of either run, target by target; the difference (second minus first)
    with the 95 % interval of a paired bootstrap over sequences. Writes an HTML page, a table and the two students' predictions
    against each other. Refused: runs that share no test sequence, or whose targets or measured values differ.
    """
    from octodon.cli.output import say
    from octodon.report.comparison import compare_runs
    from octodon.report.comparison_page import headline, write_comparison

    found = compare_runs(a, b, seed=seed)
    for line in found.lines():
        typer.echo(line)
    typer.echo(headline(found))
    for path in write_comparison(found, out):
        say(f"  {path}")
