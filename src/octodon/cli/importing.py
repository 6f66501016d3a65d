"""``octodon import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octodon.cli.options import parse_options

if TYPE_CHECKING:
    from octodon.handover.networks import Foreign


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "import",
        short_help="Networks trained elsewhere, as an ensemble to distil",
        epilog="Example: octodon import a.npz b.npz --backbone deepstarr --length 249 --targets Dev,Hk --out theirs",
    )(import_networks)


def import_networks(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Weights, one network each: .safetensors, .npz, .pt (state dict)."
        ),
    ],
    targets: Annotated[
        str, typer.Option("--targets", metavar="A,B", help="Targets, in the order of the outputs.")
    ],
    length: Annotated[int, typer.Option("--length", min=1, help="Bases that the networks were trained on.")],
    out: Annotated[Path, typer.Option("--out", help="Bundle to make.")],
    backbone: Annotated[
        str,
        typer.Option(
            "--backbone", metavar="NAME", help="Whose weights: octodon list backbones, or FILE.py:Class."
        ),
    ] = "deepstarr",
    units: Annotated[str, typer.Option("--units", help="Unit of the outputs.")] = "activity",
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", metavar="NAME=VALUE", help="Option of the backbone (width=0.5); may be repeated."
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            "--names",
            metavar="FILE.toml",
            help='What their layers are called: "head.linear" = ["fc_dev", "fc_hk"], one line each.',
        ),
    ] = None,
    channels: Annotated[
        str, typer.Option("--channels", metavar="ORDER", help="Bases in the order of their input channels.")
    ] = "ACGT",
    flatten: Annotated[
        list[str] | None,
        typer.Option(
            "--flatten",
            help="Of a DeepSTARR: position (Keras; default) or channel (PyTorch's flatten); once, or once per file.",
        ),
    ] = None,
    norm_eps: Annotated[
        float | None,
        typer.Option(
            "--norm-eps", help="Epsilon of their BatchNorm (PyTorch 1e-5, Keras 1e-3); default: ours."
        ),
    ] = None,
) -> None:
    """Turn networks trained elsewhere into an ensemble bundle, to be distilled, calibrated or scored like one of octodon.

    Every tensor must find its place; files are read as data, nothing in them is run. Then: octodon distill experiment.toml
    --teachers theirs. (Predictions of any tool, without the networks, go there as a table.)
    """
    from octodon.artifact.bundle import save
    from octodon.cli.output import say
    from octodon.errors import ConfigError
    from octodon.handover.networks import Foreign, import_weights

    _refuse_tables(sources)
    ways = flatten or ["position"]
    if len(ways) not in (1, len(sources)):
        raise ConfigError(
            f"--flatten: given {len(ways)} times for {len(sources)} files; once, or once per file"
        )
    foreign = [
        Foreign(
            backbone=backbone,
            length=length,
            target_names=tuple(name.strip() for name in targets.split(",")),
            units=units,
            options=parse_options(option or []),
            names=_names(names),
            channel_order=channels,
            flatten=way,  # type: ignore[arg-type]  # checked there
            norm_eps=norm_eps,
        )
        for way in (ways if len(ways) > 1 else ways * len(sources))
    ]
    made = import_weights(sources, foreign, say)
    save(made, out, _provenance(sources, foreign))
    say(f"{len(made.members)} members -> {out}; next: octodon distill experiment.toml --teachers {out}")


def _names(path: Path | None) -> dict[str, tuple[str, ...]]:
    import tomllib

    from octodon.errors import ConfigError

    if path is None:
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f'--names {path}: {error}; expected lines such as "head.linear" = "fc3"') from None
    found = {name: (value,) if isinstance(value, str) else value for name, value in table.items()}
    for name, value in found.items():
        if not isinstance(value, list | tuple) or not value or not all(isinstance(v, str) for v in value):
            raise ConfigError(
                f"--names {path}: {name!r} is {value!r}; expected a layer's name or a list of them, and names with dots in quotes"
            )
    return {name: tuple(value) for name, value in found.items()}


def _refuse_tables(sources: list[Path]) -> None:
    from octodon.errors import ConfigError

    tables = [path for path in sources if {".parquet", ".tsv", ".csv"} & set(path.suffixes)]
    if tables:
        raise ConfigError(
            f"import {tables[0]}: a table of predictions cannot answer for new sequences, so that it becomes no bundle; teach a "
            f"student with it: octodon distill experiment.toml --teachers {tables[0]}"
        )


def _provenance(sources: list[Path], foreign: list[Foreign]) -> dict[str, Any]:
    import hashlib

    return {
        "imported": [
            {
                "file": path.name,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "channel_order": own.channel_order,
                "flatten": own.flatten,
                "norm_eps": own.norm_eps,
                "names": {name: list(theirs) for name, theirs in own.names.items()},
            }
            for path, own in zip(sources, foreign, strict=True)
        ]
    }
