"""Distance in feature space, in units of the spread of the training sequences."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from numpy import ndarray

from octodon.ood import scores
from octodon.ood._base import Arrays, Observed, Score, fit_gaussian, gaussian_distance


@scores.register("mahalanobis")
class MahalanobisScore(Score):
    """Mahalanobis distance of the penultimate features from those of the training sequences.

    Lee et al. 2018 (NeurIPS 31, 7167) with one class, since activity has none; covariance after Ledoit and Wolf.
    """

    needs = "features"

    @staticmethod
    def fit(reference: Observed, seed: int) -> Arrays:
        """Return centre and whitening matrix of the features."""
        del seed
        return fit_gaussian(reference.of("features"))

    @staticmethod
    def score(arrays: Mapping[str, ndarray], observed: Observed) -> Float[ndarray, " n"]:
        """Return the distances."""
        return gaussian_distance(arrays, observed.of("features"))
