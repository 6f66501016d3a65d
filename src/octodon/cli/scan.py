"""``octodon scan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from octodon.cli.options import Backbone, Bundle, Device, DeviceOption, Fasta, Quiet


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Windows all along a genome: table and bigWig tracks",
        epilog="Example: octodon scan run/student --fasta genome.fa --stride 50 --out genome-scan",
    )(scan)


def scan(
    bundle: Bundle,
    fasta: Fasta,
    out: Annotated[
        Path, typer.Option("--out", metavar="PREFIX", help="Files made: PREFIX.parquet, PREFIX.*.bw.")
    ],
    bed: Annotated[
        Path | None, typer.Option("--bed", help="Only in these regions (default: the whole genome).")
    ] = None,
    stride: Annotated[int, typer.Option("--stride", help="Bases from one window to the next.")] = 50,
    max_n: Annotated[
        float, typer.Option("--max-n", help="Skip (and count) windows with a larger share of N.")
    ] = 0.05,
    device: DeviceOption = Device.AUTO,
    backbone: Backbone = None,
    quiet: Quiet = False,
) -> None:
    """Predict windows all along a genome, on both strands: a table, and bigWig tracks for a genome browser."""
    from octodon.artifact.bundle import load
    from octodon.cli.output import counting, say
    from octodon.data.genome import open_genome
    from octodon.genomes.scan import ScanOptions, scan

    predictor = load(bundle, backbone=backbone)
    options = ScanOptions(stride_bp=stride, bed=bed, max_n_fraction=max_n, device=device.value)
    with open_genome(fasta) as genome, counting("windows", quiet) as count:
        report = scan(predictor, genome, out, options, on_windows=count)
    for note in report.notes:
        say(note)
    if report.n_skipped:
        say(f"{report.n_skipped:,} windows skipped: more than {100 * max_n:g}% N")
    if report.n_short_contigs:
        say(
            f"{report.n_short_contigs:,} contigs are shorter than the model's {predictor.model.length} bp: no window"
        )
    if report.n_empty_regions:
        say(f"{report.n_empty_regions:,} regions lie too near the end of a contig: no window")
    if report.n_between_regions:
        say(f"{report.n_between_regions:,} regions lie between windows: none touches them; lower --stride")
    say(f"{report.n_windows:,} windows, both strands (units: {predictor.units}):")
    for file in report.files:
        say(f"  {file}")
