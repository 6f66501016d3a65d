"""``octodon effect-map``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "effect-map",
        short_help="Plot variant effects along a region",
        epilog="Example: octodon effect-map effects.tsv --region SORT1:1-600 --out map.svg",
    )(effect_map)


def effect_map(
    effects: Annotated[
        Path, typer.Argument(metavar="EFFECTS", help="Table of octodon variants: .tsv, .csv or .parquet.")
    ],
    region: Annotated[
        str,
        typer.Option("--region", metavar="CONTIG[:FIRST-LAST]", help="What to draw, 1-based as in the VCF."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Figure to write: .svg or .png.")] = Path("map.svg"),
    target: Annotated[
        str | None, typer.Option("--target", metavar="TARGET", help="Only this one (default: all).")
    ] = None,
    units: Annotated[str, typer.Option("--units", help="Of the effects, for the axis.")] = "activity",
) -> None:
    """Draw the effect of every variant along a contig, and how sure the model is of each: a saturation map."""
    from octodon.cli.output import say
    from octodon.report.effects import effects_figure
    from octodon.variants.region import read_region, targets_of

    table = read_region(effects, region)
    targets = targets_of(table, target)
    effects_figure(table, targets, out, title=region, units=units)
    say(f"{len(table):,} variants -> {out}")
