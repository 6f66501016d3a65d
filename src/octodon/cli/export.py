"""``octodon export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from octodon.cli.options import Backbone, Bundle, Level, Uncalibrated


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="As ONNX: everything that predict says, in one file",
        epilog="Example: octodon export run/student --onnx student.onnx",
    )(export)


def export(
    bundle: Bundle,
    onnx: Annotated[
        Path | None,
        typer.Option("--onnx", metavar="FILE", help="ONNX file to write, for any tool that runs ONNX."),
    ] = None,
    level: Level = None,
    uncalibrated: Uncalibrated = False,
    backbone: Backbone = None,
) -> None:
    """Hand a model on to people and tools without octodon.

    What predict says is inside: mean, stds, calibrated interval and, with a detector (octodon ood), how unlike the training
    sequences a sequence is. Nothing is written that does not say the same as torch. Needs pip install 'octodon[export]'.
    """
    from octodon.artifact.bundle import load
    from octodon.cli.output import say
    from octodon.errors import ConfigError
    from octodon.handover.onnx_file import export_onnx
    from octodon.records import check_level

    if onnx is None:
        raise ConfigError(f"export {bundle}: nothing to write; give --onnx student.onnx")
    if level is not None:
        check_level(level, "--level")
    model = load(bundle, backbone=backbone)
    file = export_onnx(model, onnx, level=level, calibrated=not uncalibrated, say=say)
    say(f"{file} ({file.stat().st_size / 1e6:.1f} MB)")
