"""What commands print: stages as they happen, the summary table at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def say(line: str) -> None:
    """Print a line of progress to standard error."""
    sys.stderr.write(line + "\n")


@contextmanager
def counting(what: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error, moved by the function given: (done, all)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def resumable() -> Iterator[None]:
    """Say, when a run is stopped from the keyboard, that it can go on; exit code 130."""
    import typer

    try:
        yield
    except KeyboardInterrupt:
        say("stopped; the same command goes on from the networks that are finished")
        raise typer.Exit(130) from None


def print_summary(metrics: pd.DataFrame) -> None:
    """Print what people read of a metrics table: test accuracy of individual, ensemble and student."""
    from rich.console import Console
    from rich.table import Table

    from octodon.metrics.summary import format_summary, summarise

    header, *rows = format_summary(summarise(metrics))
    table = Table(title="Test set")
    for number, name in enumerate(header):
        table.add_column(name, justify="left" if number < 2 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def print_files(folder: Path) -> None:
    """Print where the results of a run are and what can be done with them."""
    files = (
        ("metrics", "results/metrics.tsv"),
        ("predictions", "results/predictions_test.parquet"),
        ("figures", "figures/training.svg, figures/test.svg"),
        ("ensemble", "ensemble/"),
        ("student", "student/"),
        ("configuration", "config.toml"),
        ("data report", "data.json"),
    )
    sys.stdout.write(f"Files in {folder}:\n")
    for name, path in files:
        if (folder / path.split(",")[0]).exists():
            sys.stdout.write(f"  {name:<14} {path}\n")
    sys.stdout.write(f"Predict: octodon predict {folder / 'student'} sequences.fa --out predictions.tsv\n")
