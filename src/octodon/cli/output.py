"""What commands print: stages as they happen, the summary table at the end."""

from __future__ import annotations

import shlex
import signal
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
def counting(what: str, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar on standard error, moved by the function given: (done, all), all None where it is not known."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, treated by everything below like Ctrl-C."""


@contextmanager
def resumable() -> Iterator[None]:
    """End on Ctrl-C (exit code 130) and SIGTERM (143) with one line that says how to go on."""
    import typer

    def terminate(number: int, frame: object) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt as stop:
        command = shlex.join(["octodon", *sys.argv[1:]])
        say(
            f"stopped; what is finished is kept, and every network up to its last checkpoint. To go on: {command}"
        )
        raise typer.Exit(128 + (signal.SIGTERM if isinstance(stop, _Terminated) else signal.SIGINT)) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def print_summary(metrics: pd.DataFrame) -> None:
    """Print what people read of a metrics table: test accuracy of individual, ensemble and student."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from octodon.metrics.summary import format_summary, summarise

    header, *rows = format_summary(summarise(metrics))
    table = Table(title="Test set")
    for number, name in enumerate(header):
        table.add_column(name, justify="left" if number < 2 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))  # plain: "[log2]" in the name of a target is no markup
    Console().print(table)


def print_comparison(lines: list[list[str]]) -> None:
    """Print a table, as wide as it needs, whose first line is its header and whose first two columns are words."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sys.stdout.write("Test set, calibrated where possible:\n")
    for line in lines:
        cells = [
            cell.ljust(width) if number < 2 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def print_verdict(folder: Path) -> None:
    """Print the headline of a run's report and where it is."""
    from octodon.report.page import verdict_of

    sys.stdout.write(f"{verdict_of(folder).headline} Why, and what to try next: {folder / 'report.html'}\n")


def print_files(folder: Path) -> None:
    """Print where the results of a run are and what can be done with them."""
    files = (
        ("report", "report.html"),
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
