"""What commands print: stages as they happen, the summary table at the end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def say(line: str) -> None:
    """Print a line of progress to standard error."""
    sys.stderr.write(line + "\n")


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
    lines = (
        ("metrics", "results/metrics.tsv"),
        ("predictions", "results/predictions_test.parquet"),
        ("figures", "figures/training.svg, figures/test.svg"),
        ("ensemble", "ensemble/"),
        ("student", "student/"),
        ("configuration", "config.toml"),
        ("data report", "data.json"),
    )
    sys.stdout.write(f"Files in {folder}:\n")
    for name, path in lines:
        sys.stdout.write(f"  {name:<14} {path}\n")
    sys.stdout.write(f"Predict: octodon predict {folder / 'student'} sequences.fa --out predictions.tsv\n")
