"""The out-of-distribution detector in a bundle: ``ood.json`` says what it is, ``ood.safetensors`` holds what it learnt."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as from_bytes
from safetensors.numpy import save as to_bytes

from octodon.atomic import atomic_file, write_json
from octodon.errors import BundleError
from octodon.ood import scores
from octodon.ood.detector import Detector
from octodon.registry import suggest

CARD, ARRAYS = "ood.json", "ood.safetensors"
_QUANTILES = "quantiles"


def write_detector(folder: Path, detector: Detector) -> Path:
    """Write both files into a bundle, in the place of earlier ones, and return the card.

    Raises
    ------
    RunError
        They cannot be written.
    """
    arrays = {f"learnt.{name}": np.ascontiguousarray(values) for name, values in detector.arrays.items()}
    with atomic_file(folder / ARRAYS) as partial:
        partial.write_bytes(to_bytes(arrays | {_QUANTILES: np.ascontiguousarray(detector.quantiles)}))
        (folder / CARD).unlink(missing_ok=True)  # a card never stands beside the arrays of another detector
    write_json(folder / CARD, {"score": detector.score, "threshold_percentile": detector.threshold})
    return folder / CARD


def read_detector(folder: Path) -> Detector | None:
    """Return the detector of a bundle; None if it has none.

    Raises
    ------
    BundleError
        A damaged file, or a score that this octodon does not know.
    """
    if not (folder / CARD).is_file():
        return None
    advice = "fit it again (octodon ood), or remove ood.json to predict without"
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        score, threshold = str(card["score"]), float(card["threshold_percentile"])
        arrays = from_bytes((folder / ARRAYS).read_bytes())
        quantiles = arrays.pop(_QUANTILES)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:100]
        raise BundleError(f"{folder / CARD}: missing or damaged parts ({reason}); {advice}") from None
    if score not in scores:
        raise BundleError(
            f"{folder / CARD}: made with the score {score!r}; {suggest(score, scores.names())}; {advice}"
        )
    learnt = {name.removeprefix("learnt."): values for name, values in arrays.items()}
    return Detector(score=score, arrays=learnt, quantiles=quantiles, threshold=threshold)
