"""``octodon attribute``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from octodon.cli.options import (
    AttributionMethod,
    Backbone,
    Bundle,
    Device,
    DeviceOption,
    Id,
    MapSeed,
    Quiet,
    Sequence,
)

if TYPE_CHECKING:
    from numpy import ndarray

    from octodon.attribution.record import Attribution

MOST_SEQUENCES = 100_000
"""Maps are held in memory: 100,000 of 250 bp are 400 MB, times the members."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Which bases a prediction, or its uncertainty, rests on",
        epilog="Example: octodon attribute run/student sequences.fa --target Dev --method ism --out maps.h5 --logos 4",
    )(attribute)


def attribute(
    bundle: Bundle,
    sequences: Annotated[Path, typer.Argument(metavar="INPUT", help="FASTA, TSV, CSV (.gz) or Parquet.")],
    out: Annotated[
        Path, typer.Option("--out", help="Maps: .h5 (octodon, modisco-lite) or .npz (modisco-lite).")
    ],
    method: AttributionMethod = "deep_lift_shap",
    output: Annotated[
        str,
        typer.Option(
            "--output",
            metavar="QUANTITY",
            help="What is explained: activity, epistemic_std, aleatoric_std or total_std.",
        ),
    ] = "activity",
    target: Annotated[
        str | None,
        typer.Option(
            "--target", metavar="TARGET", help="Target to explain; required if the model has several."
        ),
    ] = None,
    minus: Annotated[
        str | None,
        typer.Option(
            "--minus", metavar="TARGET", help="Explain --target minus this one: what makes them differ."
        ),
    ] = None,
    member: Annotated[
        str | None,
        typer.Option("--member", metavar="K|each", help="For an ensemble: one member (0-based), or each."),
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(
            "--background",
            metavar="N|FILE",
            help="What contributions are relative to: N dinucleotide shuffles of each sequence, or a file of sequences; default 20.",
        ),
    ] = None,
    seed: MapSeed = 0,
    logos: Annotated[
        int,
        typer.Option(
            "--logos",
            metavar="N",
            min=0,
            help="Draw logos of the first N sequences (SVG beside --out), uncertainty below.",
        ),
    ] = 0,
    track: Annotated[
        Path | None,
        typer.Option(
            "--track",
            help="Also write a genome track, .bedgraph or .bw; ids must be contig:start-stop (0-based, half-open).",
        ),
    ] = None,
    sequence: Sequence = "sequence",
    id: Id = None,
    device: DeviceOption = Device.AUTO,
    backbone: Backbone = None,
    quiet: Quiet = False,
) -> None:
    """Say which bases a prediction, its uncertainty, or a difference of targets rests on."""
    from octodon.artifact.bundle import load
    from octodon.atomic import refuse_unwritable
    from octodon.attribution import save, tracks
    from octodon.attribution.attribute import attribute
    from octodon.attribution.doubt import doubt_beneath
    from octodon.attribution.scalar import target_minus
    from octodon.cli.output import counting, say

    save.check_suffix(out)
    refuse_unwritable(out.parent)
    if track is not None:
        tracks.check_suffix(track)
        refuse_unwritable(track.parent)
    wanted = target_minus(target, minus)
    model = load(bundle, backbone=backbone)
    ids, codes = _read(sequences, sequence, id)
    intervals = tracks.intervals_of(ids, codes.shape[1]) if track is not None else None
    relative_to = None if background is None else _background(background, sequence, id)
    with counting("maps", quiet) as count:
        found = attribute(
            model,
            codes,
            ids,
            method=method,
            output=output,
            target=wanted,
            member=int(member) if member is not None and member.isdigit() else member,
            background=relative_to,
            seed=seed,
            device=device.value,
            on_rows=count,
        )
    files = save.save_attribution(found, out)
    if track is not None and intervals is not None:
        tracks.write_track(found.observed, intervals, track)
        files.append(track)
    if logos:
        files.append(out.with_suffix(".svg"))
        beneath, label = doubt_beneath(
            model,
            found,
            logos,
            output=output,
            target=wanted,
            method=method,
            background=relative_to,
            seed=seed,
            device=device.value,
        )
        _draw(found, beneath, label, logos, files[-1])
    if found.fallback:
        say(f"note: {method} did not fit: {found.fallback}")
    say(f"{len(ids):,} maps of {found.output} (units: {found.units}) -> {', '.join(map(str, files))}")


def _read(path: Path, sequence: str, id: str | None) -> tuple[list[str], ndarray]:
    """Return ids and codes of a whole file."""
    import numpy as np

    from octodon.data.stream import stream_sequences
    from octodon.errors import DataError

    ids, codes = [], []
    for names, block in stream_sequences(path, sequence=sequence, id=id):
        ids += list(names)
        codes.append(block)
        if len(ids) > MOST_SEQUENCES:
            raise DataError(
                f"{path}: more than {MOST_SEQUENCES:,} sequences, whose maps do not fit in memory; split the file"
            )
    if not codes:
        raise DataError(f"{path}: no sequences, expected at least one")
    return ids, np.concatenate(codes)


def _background(text: str, sequence: str, id: str | None) -> int | ndarray:
    """Return the number of shuffles, or the sequences of a file."""
    return int(text) if text.isdigit() else _read(Path(text), sequence, id)[1]


def _draw(found: Attribution, beneath: ndarray | None, label: str, count: int, out: Path) -> None:
    from octodon.report.logo import logo_figure

    some = slice(0, count)
    logo_figure(
        found.codes[some],
        found.observed[some],
        beneath,
        [f"{name}: {found.output}" for name in found.ids[some]],
        out,
        units=found.units,
        std_label=label,
        first=1,
    )
