"""``octodon ood``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from octodon.cli.options import Backbone, Bundle, Device, DeviceOption, Set


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        short_help="Teach a bundle to flag sequences unlike its training set",
        epilog="Example: octodon ood run/student run/config.toml",
    )(ood)


def ood(
    bundle: Bundle,
    experiment: Annotated[
        Path,
        typer.Argument(
            metavar="EXPERIMENT.toml", help="The experiment that made it: its training rows are read."
        ),
    ],
    score: Annotated[
        str | None,
        typer.Option("--score", metavar="NAME", help="Score; see octodon list ood (default: markov)."),
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(
            "--threshold",
            help="Flag a sequence that is less like the training sequences than this percentage of them is.",
        ),
    ] = 99.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same detector.")] = 0,
    set: Set = None,
    device: DeviceOption = Device.AUTO,
    backbone: Backbone = None,
) -> None:
    """Teach a bundle which sequences are unlike its training sequences; predict then adds ood_score and ood."""
    from octodon.artifact.bundle import load
    from octodon.artifact.detector import write_detector
    from octodon.artifact.selftest import write_selftest
    from octodon.atomic import refuse_unwritable
    from octodon.cli.output import say
    from octodon.errors import ConfigError
    from octodon.experiment.config import load_config
    from octodon.experiment.prepare import prepare
    from octodon.ood.detector import DEFAULT_SCORE
    from octodon.predict.ood import fit_ood

    model = load(bundle, backbone=backbone)
    if model.calibration is not None and model.calibration.method == "mondrian_ood":
        raise ConfigError(
            f"{bundle}: is calibrated by the score of its detector, another one would make that wrong; calibrate it by another "
            f"method first (octodon calibrate)"
        )
    refuse_unwritable(bundle)
    # not the table's: the rows that trained the networks, thinned and without what leaked, as for the run's own detector
    train = prepare(load_config(experiment, set or [])).subset("train")
    fitted = fit_ood(
        model, train, score=score or DEFAULT_SCORE, threshold=threshold, seed=seed, device=device.value
    )
    assert fitted.detector is not None
    file = write_detector(bundle, fitted.detector)
    write_selftest(bundle, fitted)
    say(f"{fitted.detector.score}, fitted on {len(train):,} training sequences -> {file}")
