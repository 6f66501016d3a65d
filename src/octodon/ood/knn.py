"""Distance to the nearest training sequences in feature space."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from octodon.ood import scores
from octodon.ood._base import Arrays, Observed, Score

NEIGHBOUR = 10
_MOST_REFERENCES = 5000
_BLOCK = 2048


@scores.register("knn")
class KnnScore(Score):
    """Euclidean distance to the 10th nearest of at most 5,000 training sequences, features scaled to unit length.

    Sun et al. 2022 (ICML, PMLR 162, 20827): without the scaling, the length of the features hides their direction.
    """

    needs = "features"

    @staticmethod
    def fit(reference: Observed, seed: int) -> Arrays:
        """Return the features of a sample of the training sequences, of unit length."""
        features = _unit(reference.of("features"))
        chosen = np.random.default_rng(seed).permutation(len(features))[:_MOST_REFERENCES]
        return {"references": features[np.sort(chosen)]}

    @staticmethod
    def score(arrays: Mapping[str, ndarray], observed: Observed) -> Float[ndarray, " n"]:
        """Return the distance to the 10th nearest reference (the farthest, if there are fewer)."""
        return _kth_distance(arrays["references"], observed.of("features"), NEIGHBOUR)

    @classmethod
    def score_reference(
        cls, arrays: Mapping[str, ndarray], reference: Observed, seed: int
    ) -> Float[ndarray, " n"]:
        """Return the distance to the 10th nearest reference other than the sequence itself."""
        del seed
        features, references = _unit(reference.of("features")), arrays["references"]
        among = np.isin(_rows(features), _rows(references))
        kth = np.empty(len(features))
        for own in (False, True):
            chosen = np.flatnonzero(among == own)
            kth[chosen] = _kth_distance(references, features[chosen], NEIGHBOUR + own)
        return kth


def _rows(features: ndarray) -> ndarray:
    """Return each row as one value that compares byte for byte."""
    return (
        np.ascontiguousarray(features)
        .view(np.dtype((np.void, features.itemsize * features.shape[1])))
        .ravel()
    )


def _unit(features: Float[ndarray, "n f"]) -> Float[ndarray, "n f"]:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.maximum(lengths, 1e-12)).astype(np.float32)


def _kth_distance(
    references: Float[ndarray, "k f"], features: Float[ndarray, "n f"], k: int
) -> Float[ndarray, " n"]:
    nth = min(k, len(references)) - 1
    out = np.empty(len(features))
    for start in range(0, len(features), _BLOCK):
        cosine = _unit(features[start : start + _BLOCK]) @ references.T
        kth = -np.partition(-cosine, nth, axis=1)[:, nth]
        out[start : start + _BLOCK] = np.sqrt(np.maximum(2 - 2 * kth, 0))
    return out
