"""How well a score tells two sets apart."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import rankdata

from octodon.errors import DataError


def auroc(inside: Float[ndarray, " n"], outside: Float[ndarray, " k"]) -> float:
    """Return the probability that a random outside score is above a random inside one, ties counting half (0 to 1).

    The area under the receiver operating characteristic as the Mann-Whitney statistic (Hanley and McNeil 1982).

    Raises
    ------
    DataError
        For an empty set.
    """
    if not len(inside) or not len(outside):
        raise DataError(
            f"auroc: {len(inside)} scores inside, {len(outside)} outside; expected at least one each"
        )
    ranks = rankdata(np.concatenate([inside, outside]))
    above = ranks[len(inside) :].sum() - len(outside) * (len(outside) + 1) / 2
    return float(above / (len(inside) * len(outside)))
