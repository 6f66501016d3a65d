"""``octodon doctor``."""

from __future__ import annotations

import sys
from pathlib import Path

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Versions, GPU, measured speed, free disk", epilog="Example: octodon doctor")(
        doctor
    )


def doctor() -> None:
    """Say in one screen: versions, whether a GPU will be used, how fast this machine is, free disk."""
    from octodon.experiment.doctor import examine

    for name, value in examine(Path.cwd()):
        sys.stdout.write(f"{name:<22} {value}\n")
