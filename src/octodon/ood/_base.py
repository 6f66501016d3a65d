"""What an out-of-distribution score sees, learns and gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from octodon.errors import DataError

_FOLDS = 5
Arrays = dict[str, ndarray]
"""What a score has learnt: plain float arrays by name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """Sequences as a score may see them; what it does not need may be None.

    Attributes
    ----------
    codes : (n, l) uint8
    features : (n, f) array or None
        Output of the backbone, before the head.
    epistemic_std : (n, t) array or None
    """

    codes: UInt8[ndarray, "n l"]
    features: Float[ndarray, "n f"] | None = None
    epistemic_std: Float[ndarray, "n t"] | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def of(self, name: str) -> ndarray:
        """Return what is called ``name``.

        Raises
        ------
        DataError
            The model does not give it.
        """
        values = getattr(self, name)
        if values is None:
            raise DataError(
                f"ood: the model gives no {name}; choose a score that needs none (octodon list ood)"
            )
        return values

    def take(self, rows: ndarray) -> Observed:
        """Return the rows chosen by an index or a mask."""
        return Observed(
            codes=self.codes[rows],
            features=None if self.features is None else self.features[rows],
            epistemic_std=None if self.epistemic_std is None else self.epistemic_std[rows],
        )


class Score(ABC):
    """A number per sequence, higher = less like the reference.

    Class attributes
    ----------------
    needs : str
        What of ``Observed`` it reads: "codes", "features" or "epistemic_std".
    """

    needs: ClassVar[str]

    @staticmethod
    @abstractmethod
    def fit(reference: Observed, seed: int) -> Arrays:
        """Return what is to be known of the reference sequences."""

    @staticmethod
    @abstractmethod
    def score(arrays: Mapping[str, ndarray], observed: Observed) -> Float[ndarray, " n"]:
        """Return the score of each sequence; rows are independent."""

    @classmethod
    def score_reference(
        cls, arrays: Mapping[str, ndarray], reference: Observed, seed: int
    ) -> Float[ndarray, " n"]:
        """Return the scores of the reference itself, each as if it had not been part of it.

        By default a fifth at a time is scored by what the other four fifths teach: a distance from one's own fit is too
        short, so that everything new would look unusual.
        """
        del arrays
        fold = np.random.default_rng(seed).permutation(len(reference)) % _FOLDS
        values = np.empty(len(reference))
        for number in range(_FOLDS):
            fitted = cls.fit(reference.take(fold != number), seed)
            values[fold == number] = cls.score(fitted, reference.take(fold == number))
        return values


def fit_gaussian(points: Float[ndarray, "n f"]) -> Arrays:
    """Return mean and whitening matrix of the normal distribution of points, its covariance shrunk.

    The covariance is that of Ledoit and Wolf 2004 (J. Multivar. Anal. 88, 365), "a well-conditioned estimator for
    large-dimensional covariance matrices": mixed with the identity times the mean variance, by as much as its own
    estimation error asks for.
    """
    x = np.asarray(points, dtype=np.float64)
    centre = x.mean(axis=0)
    x = x - centre
    n, f = x.shape
    covariance = x.T @ x / n
    mu = np.trace(covariance) / f
    spread = np.sum(np.square(covariance)) / f - mu**2
    # mean squared error of the covariance itself; squares of rows suffice, no (n, f, f) array is made
    fourth = np.sum(np.square(np.sum(np.square(x), axis=1))) / f
    error = (fourth / n - np.sum(np.square(covariance)) / f) / n
    shrinkage = float(np.clip(error / spread, 0, 1)) if spread > 0 else 1.0
    shrunk = (1 - shrinkage) * covariance + shrinkage * mu * np.eye(f)
    values, vectors = np.linalg.eigh(shrunk)
    floor = max(float(values.max()), 1e-12) * 1e-9
    whitening = vectors / np.sqrt(np.maximum(values, floor))
    return {"centre": centre.astype(np.float32), "whitening": whitening.astype(np.float32)}


def gaussian_distance(arrays: Mapping[str, ndarray], points: Float[ndarray, "n f"]) -> Float[ndarray, " n"]:
    """Return the Mahalanobis distance of each point."""
    return np.linalg.norm((points - arrays["centre"]) @ arrays["whitening"], axis=1).astype(np.float64)
