"""``octodon simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Write a simulated MPRA whose truth is known",
        epilog="Example: octodon simulate --rows 20000 --length 200 --out simulated.tsv.gz",
    )(simulate)


def simulate(
    out: Annotated[Path, typer.Option("--out", help="Table to write: .tsv, .tsv.gz or .parquet.")],
    rows: Annotated[int, typer.Option("--rows", min=10, help="Number of sequences.")] = 10_000,
    length: Annotated[int, typer.Option("--length", min=40, help="Length of each, in bp.")] = 150,
    replicates: Annotated[
        int, typer.Option("--replicates", min=1, help="Measurements of each sequence and target.")
    ] = 3,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same table.")] = 0,
) -> None:
    """Write a simulated MPRA: planted motifs, known activity, known noise; the truth goes beside it."""
    from octodon.cli.output import say
    from octodon.experiment.simulated import write_simulation

    truth = write_simulation(out, rows=rows, length=length, replicates=replicates, seed=seed)
    say(f"{rows:,} sequences of {length} bp -> {out}; true activity and noise -> {truth}")
