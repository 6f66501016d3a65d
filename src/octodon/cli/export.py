"""``octodon export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from octodon.cli.options import (
    Backbone,
    Bundle,
    LeftFlank,
    Length,
    Level,
    RightFlank,
    Title,
    Uncalibrated,
    policy_of,
)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="A page for any browser, or ONNX: all that predict says",
        epilog="Examples: octodon export run/student --html student.html; octodon export run/student --onnx student.onnx",
    )(export)


def export(
    bundle: Bundle,
    onnx: Annotated[
        Path | None,
        typer.Option("--onnx", metavar="FILE", help="ONNX file to write, for any tool that runs ONNX."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Page to write: one file that predicts in any browser."),
    ] = None,
    level: Level = None,
    uncalibrated: Uncalibrated = False,
    title: Title = None,
    length: Annotated[
        Length | None,
        typer.Option(
            "--length", help="What the page suggests for sequences of another length; default: as trained."
        ),
    ] = None,
    left_flank: LeftFlank = "",
    right_flank: RightFlank = "",
    runtime: Annotated[
        Path | None,
        typer.Option(
            "--runtime", metavar="FOLDER", help="Folder dist/ of onnxruntime-web; default: fetched once."
        ),
    ] = None,
    backbone: Backbone = None,
) -> None:
    """Hand a model on to people and tools without octodon.

    What predict says is inside: mean, stds, calibrated interval and, with a detector (octodon ood), how unlike the training
    sequences a sequence is. Nothing is written that does not say the same as torch. Needs pip install 'octodon[export]'.
    """
    from octodon.artifact.bundle import load
    from octodon.cli.output import say
    from octodon.errors import ConfigError
    from octodon.handover.html_page import export_html
    from octodon.handover.onnx_file import export_onnx
    from octodon.records import check_level

    if onnx is None and html is None:
        raise ConfigError(
            f"export {bundle}: nothing to write; give --html student.html, or --onnx student.onnx"
        )
    of_page = {
        "--title": title,
        "--length": length,
        "--left-flank": left_flank,
        "--right-flank": right_flank,
        "--runtime": runtime,
    }
    idle = [name for name, value in of_page.items() if value] if html is None else []
    if idle:
        raise ConfigError(f"export {bundle}: {idle[0]} is for the page alone; give --html, or leave it out")
    if level is not None:
        check_level(level, "--level")
    policy = policy_of(bundle, length, left_flank, right_flank)
    model = load(bundle, backbone=backbone)
    how = {"level": level, "calibrated": not uncalibrated, "say": say}
    made = []
    if onnx is not None:
        made.append(export_onnx(model, onnx, **how))
    if html is not None:
        made.append(export_html(model, html, title=title, length=policy, runtime=runtime, **how))
    for file in made:
        say(f"{file} ({file.stat().st_size / 1e6:.1f} MB)")
