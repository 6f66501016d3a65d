"""``octodon motifs``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from octodon.cli.options import Backbone, Device, Quiet

if TYPE_CHECKING:
    from octodon.attribution.record import Attribution


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Find recurring motifs in attribution maps",
        epilog="Example: octodon motifs run --target Dev --meme JASPAR.meme --out motifs",
    )(motifs)


def motifs(
    source: Annotated[
        Path, typer.Argument(metavar="RUN|MAPS", help="A finished run, or maps of octodon attribute (.h5).")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="PREFIX", help="Files made: PREFIX.tsv, PREFIX.h5, PREFIX.svg.")
    ] = Path("motifs"),
    meme: Annotated[
        Path | None, typer.Option("--meme", help="Known motifs (MEME format), to name the patterns.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="TARGET", help="Target to explain when given a run.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="Attribution method when given a run (default: deep_lift_shap); see octodon list methods.",
        ),
    ] = None,
    sequences: Annotated[
        int | None,
        typer.Option(
            "--sequences",
            min=3,
            help="When given a run: number of test sequences, highest measured activity first (default: 1000).",
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option("--window", help="Width of the central window, in bases (default: the whole sequence)."),
    ] = None,
    max_seqlets: Annotated[
        int,
        typer.Option(
            "--max-seqlets",
            min=100,
            help="Maximum number of seqlets (stretches of high contribution) per sign.",
        ),
    ] = 2000,
    unweighted: Annotated[
        bool,
        typer.Option(
            "--unweighted", help="Let every stretch count the same, however sure the members are of it."
        ),
    ] = False,
    device: Annotated[
        Device | None,
        typer.Option(
            "--device", help="When given a run: where to compute (default: on a GPU where there is one)."
        ),
    ] = None,
    backbone: Backbone = None,
    quiet: Quiet = False,
) -> None:
    """Find recurring motifs in maps with modisco-lite, weighted by how sure the members are, and name them.

    Needs pip install 'octodon[motifs]'.
    """
    from octodon.atomic import make_folder, write_text
    from octodon.attribution.motifs import few_motifs, find_motifs, name_patterns, read_meme
    from octodon.attribution.save import load_attribution
    from octodon.cli.output import counting, say
    from octodon.data._files import refuse_input
    from octodon.errors import ConfigError
    from octodon.experiment.attribution_study import explain_run
    from octodon.report.logo import pattern_figure

    of_runs = {"--target": target, "--method": method, "--sequences": sequences, "--device": device,
               "--backbone": backbone}  # fmt: skip
    given = {name: value for name, value in of_runs.items() if value is not None}
    if given and source.is_file():
        raise ConfigError(f"motifs {source}: {', '.join(given)}: for a run; maps hold all, leave it out")
    patterns_file = out.with_name(f"{out.name}.h5")
    refuse_input(patterns_file, source)
    make_folder(out.parent)
    if meme is not None:
        read_meme(meme)  # a mistake here should not wait for the motifs
        if remark := few_motifs(meme):
            say(f"note: {remark}")
    if source.is_dir():
        with counting("maps", quiet) as count:
            maps: Attribution = explain_run(
                source,
                **{name.removeprefix("--"): value for name, value in given.items()},
                on_maps=count,
            )
    else:
        maps = load_attribution(source)
    if maps.observed_std is None:
        say("note: maps of one network: every seqlet weighs the same")
    patterns = find_motifs(
        maps, patterns_file, window=window, max_seqlets=max_seqlets, weighted=not unweighted
    )
    table = name_patterns(patterns, meme)
    write_text(out.with_name(f"{out.name}.tsv"), table.to_csv(sep="\t", index=False, float_format="%.4g"))
    if patterns:
        pattern_figure(
            [(p.cwm, f"{p.name}: {p.n_seqlets} seqlets, confidence {p.confidence:.2f}") for p in patterns],
            out.with_name(f"{out.name}.svg"),
            units=maps.units,
        )
    typer.echo(
        table.to_string(index=False) if len(table) else "no pattern found: too few, or too weak, seqlets"
    )
