"""``octodon calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from octodon.cli.options import Backbone, Device, Id, parse_options


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Calibrate stds and intervals on rows no network has seen",
        epilog="Examples: octodon calibrate run/student --data unseen.tsv --out calibrated; "
        "octodon calibrate predictions.tsv --replicates 3 --out calibrated.tsv",
    )(calibrate)


def calibrate(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Folder of a student or an ensemble; or a table of any tool's predictions: id and, for each target T, T_mean, "
            "T_measured and T_std (or T_epistemic_std, T_aleatoric_std).",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Bundle or table to write. A bundle is calibrated in place without it."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="For a bundle: table of sequences that no network has seen, not even to stop its training.",
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="T=COLUMN[,COLUMN...]",
            help="Columns of --data with target T, its replicates separated by commas (default: the column T); may be repeated.",
        ),
    ] = None,
    sequence: Annotated[
        str | None,
        typer.Option(
            "--sequence", metavar="COLUMN", help="Column of the sequences in --data (default: sequence)."
        ),
    ] = None,
    id: Id = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="COLUMN",
            help="Column of splits: only rows called 'calibration' are used, and refused if related to train or valid.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="Calibration method; see octodon list calibrations (default: normalised).",
        ),
    ] = None,
    level: Annotated[
        float,
        typer.Option(
            "--level",
            metavar="SHARE",
            help="Level of the interval where a prediction asks for none (0.9 = 90 %).",
        ),
    ] = 0.9,
    replicates: Annotated[
        int | None,
        typer.Option(
            "--replicates",
            min=1,
            help="For a table: number of replicates behind each T_measured; T_aleatoric_std is the noise of one.",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", metavar="NAME=VALUE", help="Option of the method (bins=5); may be repeated."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same calibration.")] = 0,
    device: Annotated[
        Device | None,
        typer.Option(
            "--device", help="For a bundle: where to compute (default: on a GPU where there is one)."
        ),
    ] = None,
    backbone: Backbone = None,
) -> None:
    """Make stds and intervals mean what they say, on rows that no network has seen.

    A bundle keeps what was learnt in calibration.json; octodon predict applies it, --uncalibrated takes it back.
    """
    from octodon.atomic import expanded, settled
    from octodon.calibration.fit import DEFAULT_METHOD
    from octodon.cli.output import say
    from octodon.errors import ConfigError
    from octodon.experiment.calibrate import calibrate_bundle
    from octodon.predict.calibrate_table import calibrate_table

    method = DEFAULT_METHOD if method is None else method
    options = parse_options(option or [])
    if settled(source).is_dir():
        if data is None:
            raise ConfigError(
                f"calibrate {source}: --data is missing: a table of sequences and measurements that no network has seen"
            )
        if replicates is not None:
            raise ConfigError(
                "--replicates: for a table of predictions; with --data, replicates are counted there"
            )
        made, path = calibrate_bundle(
            source, data, out, targets=target or [], sequence="sequence" if sequence is None else sequence, id=id,
            split=split, method=method, level=level, options=options, device=device or Device.AUTO, backbone=backbone,
            seed=seed,
        )  # fmt: skip
        say(f"{made.describe()}: learnt on {max(made.n_rows):,} rows{made.rows_in_words()} -> {path}")
        return
    if not expanded(source).exists():
        raise ConfigError(
            f"calibrate {source}: no such file or folder; give the folder of a student or an ensemble, or a table of predictions"
        )
    if out is None:
        raise ConfigError(
            f"calibrate {source}: --out is missing: the table to write (.tsv, .csv or .parquet)"
        )
    of_bundles = {"--data": data, "--target": target or None, "--sequence": sequence, "--id": id, "--device": device,
                  "--backbone": backbone}  # fmt: skip
    if given := [name for name, value in of_bundles.items() if value is not None]:
        raise ConfigError(
            f"calibrate {source}: {', '.join(given)}: for a bundle; a table of predictions holds all, leave it out"
        )
    done = calibrate_table(source, out, method=method, level=level, replicates=replicates, options=options,
                           split=split, seed=seed)  # fmt: skip
    rows = f"{done.n_used:,} of {done.n_rows:,} rows{done.calibration.rows_in_words()}"
    say(f"{done.calibration.describe()}: learnt on {rows} -> {out}")
    if done.in_sample:
        say("every measured row was used: judge the intervals on other rows, not on these")
