"""``octodon check``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from octodon.cli.options import ExperimentFile, Set


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Look at the data first: leaks, missing values, ceiling",
        epilog="Example: octodon check experiment.toml",
    )(check)


def check(
    experiment: ExperimentFile,
    set: Set = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Look at the data before training: leaks, duplicates, lengths, N, missing values, replicates, noise ceiling."""
    import json as json_format

    from octodon.data.audit import audit
    from octodon.experiment.config import load_config
    from octodon.experiment.prepare import read_split

    config = load_config(experiment, set or [])
    report = audit(read_split(config, lenient=True))
    if json:
        sys.stdout.write(json_format.dumps(report.to_dict(), indent=2) + "\n")
    else:
        lines = report.lines()
        if any(report.missing.values()) and "missing" not in config.data:
            lines.append("note: a run refuses missing values unless data.missing = 'drop' or 'mask'")
        if report.n_repeated_ids and "repeated_ids" not in config.data:
            lines.append("note: a run refuses repeated ids unless data.repeated_ids = 'number'")
        sys.stdout.write("\n".join(lines) + "\n")
