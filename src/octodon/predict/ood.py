"""Fit an out-of-distribution detector to the sequences that a model was trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from octodon.data.examples import Examples
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble, check_length
from octodon.ensemble.workers import pick_device
from octodon.errors import DataError
from octodon.models.model import Model
from octodon.models.observe import observe
from octodon.ood import Observed, scores
from octodon.ood.detector import DEFAULT_SCORE, DEFAULT_THRESHOLD, fit_detector
from octodon.records import Prediction
from octodon.seeds import derive_seed
from octodon.seq.codes import as_codes

Predicting = TypeVar("Predicting", bound=Student | Ensemble)
MOST_SEQUENCES = 50_000
"""More training sequences than these tell nothing new of their distribution; a random sample stands for them."""


def fit_ood(
    model: Predicting,
    data: Examples | Any,
    *,
    score: str = DEFAULT_SCORE,
    threshold: float = DEFAULT_THRESHOLD,
    seed: int = 0,
    device: str = "auto",
) -> Predicting:
    """Return the model with a detector: ``predict`` then gives ``ood_score`` and ``ood``, and ``save`` keeps it.

    Parameters
    ----------
    model : Student or Ensemble
        An ensemble's features are those of its first member.
    data : Examples, list of str, or (n, l) uint8 codes
        Of examples with a split the training rows are used, else all.
    score : str
        See ``octodon list ood``.
    threshold : float
        Percentile among the training sequences from which one is flagged.
    device : str
        Where the score needs a prediction or features: "auto" (a GPU where there is one), "cpu" or "cuda".

    Raises
    ------
    ConfigError
        An unknown score, or a threshold that is no percentile.
    DataError
        Fewer than 20 sequences, or something that the model does not give.
    BundleError
        Sequences of another length than the model's.
    RunError
        A GPU is asked for that is not there.
    """
    if isinstance(data, Examples):
        codes = (data if data.splits is None else data.subset("train")).codes
    else:
        codes = as_codes(data)
    codes = check_length(codes, model.model.length)
    rng = np.random.default_rng(derive_seed(seed, "ood", "sample"))
    if len(codes) > MOST_SEQUENCES:
        codes = codes[np.sort(rng.permutation(len(codes))[:MOST_SEQUENCES])]
    needs = scores[score].needs
    said = None
    if needs == "epistemic_std":
        said = replace(model, detector=None).predict(codes, device=device, calibrated=False)
        if said.epistemic_std is None:
            raise DataError(
                f"ood: the score {score!r} needs an epistemic std, which this model does not give"
            )
    reference = _observed(model, needs, said, codes, device)
    detector = fit_detector(reference, score, threshold=threshold, seed=derive_seed(seed, "ood", score))
    return replace(model, detector=detector)


def first_network(model: Student | Ensemble) -> Model:
    """Return the network whose features stand for the model's."""
    return model.network if isinstance(model, Student) else model.network(0)


def _observed(
    model: Student | Ensemble, needs: str, said: Prediction | None, codes: UInt8[ndarray, "n l"], device: str
) -> Observed:
    network = first_network(model)
    return observe(needs, said, codes, network.to(pick_device(device)) if needs == "features" else network)


def ood_percentile(
    model: Student | Ensemble,
    codes: UInt8[ndarray, "n l"],
    said: Prediction | None = None,
    *,
    device: str = "auto",
) -> Float[ndarray, " n"]:
    """Return how unlike the training sequences each is, by the model's detector: what ``predict`` gives as ``ood_score``.

    Parameters
    ----------
    said : Prediction, optional
        What the model says of them; without it the model is asked where its detector needs that.
    device : str
        As in ``fit_ood``.
    """
    assert model.detector is not None
    needs = model.detector.needs
    if needs == "epistemic_std" and said is None:
        said = replace(model, detector=None).predict(codes, device=device, calibrated=False)
    return model.detector.percentile(_observed(model, needs, said, codes, device))
