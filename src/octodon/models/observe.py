"""What an out-of-distribution detector sees of sequences through a network, and the prediction with what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray

from octodon.models.inference import BATCH_SIZE, evaluating
from octodon.models.model import Model
from octodon.ood import Observed
from octodon.ood.detector import Detector
from octodon.records import Prediction
from octodon.seq.onehot import one_hot


def features_in_batches(
    model: Model, codes: UInt8[ndarray, "n l"], batch_size: int = BATCH_SIZE
) -> Float[ndarray, "n f"]:
    """Return the backbone's output for every sequence, in input order; the model comes back as found."""
    device = next(model.parameters()).device
    with evaluating(model), torch.inference_mode():
        return np.concatenate(
            [
                model.backbone(one_hot(torch.from_numpy(np.array(codes[at : at + batch_size])).to(device)))
                .float()
                .cpu()
                for at in range(0, len(codes), batch_size)
            ]
        )


def observe(
    needs: str, prediction: Prediction | None, codes: UInt8[ndarray, "n l"], model: Model
) -> Observed:
    """Return the sequences as a score that ``needs`` "codes", "features" or "epistemic_std" may see them.

    Features cost the network a second time, and are computed only where they are needed; the prediction may be None where
    its epistemic std is not.
    """
    return Observed(
        codes=codes,
        features=features_in_batches(model, codes) if needs == "features" else None,
        epistemic_std=None if prediction is None else prediction.epistemic_std,
    )


def with_ood(
    prediction: Prediction, detector: Detector | None, codes: UInt8[ndarray, "n l"], model: Model
) -> Prediction:
    """Return the prediction with percentile and flag of every sequence; unchanged without a detector."""
    if detector is None:
        return prediction
    percentile = detector.percentile(observe(detector.needs, prediction, codes, model))
    return replace(prediction, ood_score=percentile, ood=detector.flag(percentile))
