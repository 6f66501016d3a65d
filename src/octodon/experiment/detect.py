"""The stage "detect": every bundle of a run learns which sequences are unlike its training sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from octodon.data.examples import Examples
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.experiment.ood_config import OodSection
from octodon.ood import scores
from octodon.ood.detector import FEWEST, Detector
from octodon.predict.ood import fit_ood

Model = TypeVar("Model", bound=Student | Ensemble)


def check_detector(config: OodSection, examples: Examples) -> str | None:
    """Return why there will be no detector, or None if there will be one.

    Raises
    ------
    ConfigError
        An unknown score.
    """
    if config.score == "none":
        return 'ood.score is "none"'
    scores[config.score]
    assert examples.splits is not None
    rows = int((examples.splits == "train").sum())
    return f"{rows} training rows, at least {FEWEST} are needed" if rows < FEWEST else None


def detecting(
    models: Sequence[Model], examples: Examples, config: OodSection, *, seed: int, device: str
) -> list[Model]:
    """Return models with a detector; one for all of them where the score sees nothing but the sequences."""
    found: list[Model] = []
    shared: Detector | None = None
    for model in models:
        if shared is not None:
            found.append(replace(model, detector=shared))
            continue
        made = fit_ood(
            model, examples, score=config.score, threshold=config.threshold, seed=seed, device=device
        )
        if scores[config.score].needs == "codes":
            shared = made.detector
        found.append(made)
    return found
