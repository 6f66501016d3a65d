"""``octodon variants``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer

from octodon.cli.options import Backbone, Bundle, Device, DeviceOption, Id, Quiet


class EdgePolicy(StrEnum):
    """What to do where a window would leave its contig."""

    SKIP = "skip"
    SHIFT = "shift"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Effect of each allele of a VCF, and how sure",
        epilog="Example: octodon variants run/student --vcf calls.vcf.gz --fasta genome.fa --out effects.parquet",
    )(variants)


def variants(
    bundle: Bundle,
    out: Annotated[Path, typer.Option("--out", help="File to write: .parquet, .tsv, .csv, .vcf or .vcf.gz.")],
    vcf: Annotated[Path | None, typer.Option("--vcf", help="VCF (plain, gzip, bgzip) or BCF.")] = None,
    fasta: Annotated[
        Path | None,
        typer.Option(
            "--fasta",
            help="Genome of the VCF, with an index (samtools faidx) or small enough to be read whole.",
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--table", help="Instead of a VCF: a table with one sequence for each allele."),
    ] = None,
    ref_column: Annotated[
        str | None,
        typer.Option(
            "--ref-column", metavar="COLUMN", help="Column of the reference sequences; default ref."
        ),
    ] = None,
    alt_column: Annotated[
        str | None,
        typer.Option("--alt-column", metavar="COLUMN", help="Column of the alternatives; default alt."),
    ] = None,
    id: Id = None,
    offsets: Annotated[
        str,
        typer.Option("--offsets", metavar="BP,BP,...", help="Average over windows moved by these many bp."),
    ] = "0",
    edge: Annotated[
        EdgePolicy,
        typer.Option(
            "--edge",
            help="Where the window would leave the contig: skip the variant, or shift the window inside.",
        ),
    ] = EdgePolicy.SKIP,
    both_strands: Annotated[bool, typer.Option("--both-strands", help="Average over both strands.")] = False,
    max_ref_mismatch: Annotated[
        float | None,
        typer.Option(
            "--max-ref-mismatch",
            help="Share of REF alleles that may differ from the FASTA (they are skipped); above it all is refused; default 0.01.",
        ),
    ] = None,
    null: Annotated[
        int,
        typer.Option(
            "--null", help="Number of random mutations of shuffled sequences to compare with; 0: none."
        ),
    ] = 1000,
    level: Annotated[
        float | None,
        typer.Option(
            "--level", metavar="SHARE", help="Level of the interval of the effect (0.9 = 90 %); default 0.95."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Same seed, same random mutations; default 0.")
    ] = None,
    device: DeviceOption = Device.AUTO,
    backbone: Backbone = None,
    quiet: Quiet = False,
) -> None:
    """Score variants: effect of the alternative allele on the activity, and how sure the model is of that difference."""
    from octodon.artifact.bundle import load
    from octodon.cli.output import counting, say
    from octodon.data.genome import open_genome
    from octodon.errors import ConfigError
    from octodon.variants.score import VariantOptions, score_pairs, score_vcf

    if (vcf is None) == (table is None) or (vcf is None) != (fasta is None):
        raise ConfigError("variants: give --vcf with its --fasta, or --table")
    of_tables = {"--ref-column": ref_column, "--alt-column": alt_column, "--id": id}
    other = of_tables if table is None else {"--max-ref-mismatch": max_ref_mismatch}
    if given := [name for name, value in other.items() if value is not None]:
        raise ConfigError(
            f"variants: {', '.join(given)}: for {'--table' if table is None else '--vcf'}; leave it out"
        )
    if seed is not None and null == 0:
        raise ConfigError(
            "variants: --seed draws random mutations, of which --null 0 makes none; leave it out"
        )
    options = VariantOptions(
        offsets_bp=_offsets(offsets),
        edge=edge.value,
        both_strands=both_strands,
        max_ref_mismatch=0.01 if max_ref_mismatch is None else max_ref_mismatch,
        null=null,
        level=level,
        seed=0 if seed is None else seed,
        device=device.value,
    )
    predictor = load(bundle, backbone=backbone)
    with counting("variants", quiet) as count:
        if table is not None:
            columns = {"ref": ref_column or "ref", "alt": alt_column or "alt", "id": id}
            report = score_pairs(predictor, table, out, options, **columns, on_variants=count)
        else:
            with open_genome(cast(Path, fasta)) as genome:
                report = score_vcf(predictor, cast(Path, vcf), genome, out, options, on_variants=count)
    for note in report.notes:
        say(note)
    for reason, number in report.skipped.items():
        say(f"skipped {number:,}: {reason}")
    say(f"{report.n_scored:,} variants -> {out} (units: {predictor.units})")


def _offsets(text: str) -> tuple[int, ...]:
    from octodon.errors import ConfigError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--offsets {text!r}: expected whole numbers with commas between, such as -20,0,20"
        ) from None
