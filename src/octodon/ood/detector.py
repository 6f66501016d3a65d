"""A fitted score with its percentiles on the training sequences: what a bundle stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from octodon.errors import ConfigError, DataError
from octodon.ood import Observed, scores

DEFAULT_SCORE = "markov"
DEFAULT_THRESHOLD = 99.0
_QUANTILES = 1001
FEWEST = 20
"""Training sequences below which percentiles mean nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Detector:
    """Says how unusual sequences are among the training sequences.

    Attributes
    ----------
    score : str
        Name in the registry.
    arrays : mapping of str to array
        What the score has learnt.
    quantiles : (q,) array
        Of the scores of the training sequences, from the lowest to the highest.
    threshold : float
        Percentile (0 to 100) from which a sequence is flagged.
    """

    score: str
    arrays: Mapping[str, ndarray]
    quantiles: Float[ndarray, " q"]
    threshold: float = DEFAULT_THRESHOLD

    @property
    def needs(self) -> str:
        """What of ``Observed`` it reads."""
        return scores[self.score].needs

    def percentile(self, observed: Observed) -> Float[ndarray, " n"]:
        """Return the percentile (0 to 100) of each sequence's score among those of the training sequences.

        100 is beyond all of them, however far.
        """
        values = scores[self.score].score(self.arrays, observed)
        grid = np.linspace(0, 100, len(self.quantiles))
        # from above and from below, so that a score shared by many lies in the middle of their ranks
        below = np.interp(values, self.quantiles, grid)
        above = 100 - np.interp(-values, -self.quantiles[::-1], grid)
        return (below + above) / 2

    def flag(self, percentile: Float[ndarray, " n"]) -> Bool[ndarray, " n"]:
        """Return whether sequences count as out of the distribution."""
        return percentile >= self.threshold


def fit_detector(
    reference: Observed, score: str = DEFAULT_SCORE, *, threshold: float = DEFAULT_THRESHOLD, seed: int = 0
) -> Detector:
    """Return a detector fitted on training sequences.

    Raises
    ------
    ConfigError
        An unknown score, or a threshold that is no percentile.
    DataError
        Fewer than 20 sequences, or something that the model does not give.
    """
    if not 0 < threshold <= 100:
        raise ConfigError(f"ood: threshold {threshold}: expected a percentile above 0, at most 100")
    if len(reference) < FEWEST:
        raise DataError(
            f"ood: {len(reference)} training sequences, expected at least {FEWEST} for percentiles"
        )
    part = scores[score]
    arrays = part.fit(reference, seed)
    values = part.score_reference(arrays, reference, seed)
    return Detector(
        score=score,
        arrays=arrays,
        quantiles=np.quantile(values, np.linspace(0, 1, _QUANTILES)),
        threshold=threshold,
    )
