"""What is not as in the published experiment, whatever the preset: rows of what, published, and here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from octodon.attribution.methods import methods
from octodon.ensemble.workers import pick_device
from octodon.experiment.poster.load import Experiment
from octodon.models.precision import uses_bfloat16
from octodon.report.published import PUBLISHED_NETWORKS

# As published: table of hyperparameters and evaluation of the method's reference.
_FRACTIONS = (0.1, 0.25, 0.5, 0.75, 1.0)
_SEQUENCES = 1000
_STAGES = "activity ensemble, ensemble of activity and noise, student"

Row = tuple[str, str, str]


def differences(one: Experiment, train_rows: int, notes: Sequence[str] = ()) -> list[Row]:
    """Return what was published and what is here, row by row.

    Parameters
    ----------
    one : Experiment
    train_rows : int
        Of the largest share of the training set, as counted.
    notes : sequence of str
        Where the method of the attribution study did not fit.
    """
    return [
        *_sizes(one, train_rows),
        *_networks(one),
        *_noise(one),
        *_maps(one, notes),
    ]


def _is_lentimpra(one: Experiment) -> bool:
    return "lentiMPRA" in one.poster.title


def _sizes(one: Experiment, train_rows: int) -> Iterator[Row]:
    """Yield how much there is of everything."""
    config, poster = one.config, one.poster
    yield "training sequences", f"{poster.train_rows:,}", f"{train_rows:,}: {poster.data}"
    yield "members", str(PUBLISHED_NETWORKS), str(config.ensemble.members)
    yield "students", str(PUBLISHED_NETWORKS), str(config.distill.students)
    if _is_lentimpra(one):
        yield (
            "stages",
            _STAGES,
            _STAGES if one.stages == 2 else "one ensemble of activity and noise, student",
        )
    yield "shares of the training set", _shares(_FRACTIONS), _shares(poster.fractions)
    yield (
        "calibration rows",
        "none",
        "none"
        if config.calibrate.method == "none"
        else f"{config.calibrate.fraction_of_valid:.0%} of the validation rows",
    )
    if one.stages == 2:
        yield "split", "another for the activity ensemble than for the others", "one for all"


def _shares(fractions: Sequence[float]) -> str:
    return ", ".join(f"{fraction:g}" for fraction in fractions)


def _networks(one: Experiment) -> Iterator[Row]:
    """Yield what is trained, and how."""
    config, is_lentimpra = one.config, _is_lentimpra(one)
    options = ", ".join(f"{key} = {value}" for key, value in config.model.options.items())
    yield (
        "network",
        "residualbind" if is_lentimpra else "deepstarr",
        config.model.backbone + (f" ({options})" if options else ""),
    )
    yield "choices", "paper-lentimpra" if is_lentimpra else "paper", one.preset
    device = torch.device(pick_device(config.run.device_here))
    trainings = (config.ensemble.training, config.distill.training)
    if any(uses_bfloat16(training.precision, device) for training in trainings):
        yield "products in training", "float32", "bfloat16, summed in float32"


def _noise(one: Experiment) -> Iterator[Row]:
    """Yield what the noise of a measurement is to students and to intervals."""
    if not _is_lentimpra(one):
        return
    yield "label of the noise", "mean of the members' stds", "root of the members' mean variance"
    yield (
        "noise in an interval",
        "of one replicate, although the measured value is the mean of several",
        "of that mean: divided by the root of the number of replicates",
    )


def _maps(one: Experiment, notes: Sequence[str]) -> Iterator[Row]:
    """Yield what is done to sequences, and to the maps that explain them."""
    study, students = one.poster.attribution, one.config.distill.students
    yield (
        "intermediate shift",
        "two of deletion, translocation, mutation and noise on the one-hot",
        "two of deletion, translocation and mutation",
    )
    yield "sequences explained", f"{_SEQUENCES:,}", f"up to {study.sequences:,}"
    if notes:
        yield "attribution method", study.method, "; ".join(notes)
    if methods[study.method].needs_background:
        yield (
            "attribution background",
            "100 random test sequences, or 100 dinucleotide shuffles of each sequence",
            f"{study.background} dinucleotide shuffles of each sequence",
        )
    if students > 1:
        yield (
            "variability of maps",
            f"variance over {PUBLISHED_NETWORKS} networks, divided by {PUBLISHED_NETWORKS}",
            f"variance over {one.config.ensemble.members} members and {students} students, divided by their number less "
            f"one, times {PUBLISHED_NETWORKS - 1}/{PUBLISHED_NETWORKS}",
        )
