"""The model's own doubt."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.ood import scores
from octodon.ood._base import Arrays, Observed, Score


@scores.register("epistemic")
class EpistemicScore(Score):
    """Epistemic std over its median on the training sequences; the largest over targets.

    Training sequences are those on which members agree most, so that nearly everything new lies high; but far from the
    training data members may also agree, all saturated.
    """

    needs = "epistemic_std"

    @staticmethod
    def fit(reference: Observed, seed: int) -> Arrays:
        """Return the median std per target."""
        del seed
        median = np.median(reference.of("epistemic_std"), axis=0)
        return {"median_std": np.maximum(median, np.finfo(np.float32).tiny).astype(np.float32)}

    @staticmethod
    def score(arrays: Mapping[str, ndarray], observed: Observed) -> Float[ndarray, " n"]:
        """Return the largest ratio over targets."""
        return (observed.of("epistemic_std") / arrays["median_std"]).max(axis=1).astype(np.float64)
