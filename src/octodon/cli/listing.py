"""``octodon list``."""

from __future__ import annotations

import inspect
import sys
from typing import Annotated, Any

import typer

KINDS = {
    "backbones": ("octodon.models.backbones", "backbones"),
    "heads": ("octodon.models.heads", "heads"),
    "baselines": ("octodon.baselines.methods", "baselines"),
    "readers": ("octodon.data.formats", "readers"),
    "sets": ("octodon.data.sets", "sets"),
    "metrics": ("octodon.metrics", "metrics"),
    "uncertainty-metrics": ("octodon.metrics.uncertainty", "uncertainty_metrics"),
    "interval-metrics": ("octodon.metrics.intervals", "interval_metrics"),
    "calibrations": ("octodon.calibration.methods", "methods"),
    "methods": ("octodon.attribution.methods", "methods"),
    "augmentations": ("octodon.training.augmentations", "augmentations"),
    "ood": ("octodon.ood", "scores"),
    "shifts": ("octodon.shifts.kinds", "shifts"),
}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "list",
        short_help="Backbones, heads, readers, metrics ... that can be named",
        epilog="Example: octodon list backbones",
    )(list_parts)


def list_parts(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of: {', '.join(KINDS)}.")] = "backbones",
) -> None:
    """List the parts that a configuration can name, with one line about each."""
    from importlib import import_module

    from octodon.errors import ConfigError
    from octodon.registry import suggest

    if kind not in KINDS:
        raise ConfigError(f"list: no {kind!r}; {suggest(kind, list(KINDS))}")
    package, name = KINDS[kind]
    registry = getattr(import_module(package), name)
    for part in registry:
        sys.stdout.write(f"{part:<24} {_summary(registry[part])}\n")


def _summary(part: Any) -> str:
    """Return one line: the title on the card of a published set, else the first of the docstring."""
    card = getattr(part, "card", None)
    return (inspect.getdoc(part) or "").split("\n", 1)[0] if card is None else card.title
