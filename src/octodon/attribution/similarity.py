"""How alike maps are, and how much they vary: the published measures, and ones that do not reward small maps.

Maps are (n, b, l): b = 4 for whole maps, 1 for the contributions of the bases that are there.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

MEASURES = ("rmse", "cosine", "pearson")
HIGHER_IS_BETTER = {"rmse": False, "cosine": True, "pearson": True}


def rmse(a: Float[ndarray, "n b l"], b: Float[ndarray, "n b l"]) -> Float[ndarray, " n"]:
    """Return the root mean squared difference of each sequence over positions and bases (the published similarity).

    It shrinks with the maps: halving a map can bring it closer to anything.
    """
    return np.sqrt(np.mean(np.square(a.astype(np.float64) - b), axis=(1, 2)))


def cosine(a: Float[ndarray, "n b l"], b: Float[ndarray, "n b l"]) -> Float[ndarray, " n"]:
    """Return the cosine of each sequence's maps, -1 to 1, whatever their scale; NaN for a map of zeros."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    norms = np.sqrt(np.sum(a * a, axis=(1, 2)) * np.sum(b * b, axis=(1, 2)))
    with np.errstate(invalid="ignore"):
        return np.sum(a * b, axis=(1, 2)) / norms


def pearson(a: Float[ndarray, "n b l"], b: Float[ndarray, "n b l"]) -> Float[ndarray, " n"]:
    """Return the correlation of each sequence's maps over positions and bases; NaN for a constant map."""
    centre_a, centre_b = (x.astype(np.float64).mean(axis=(1, 2), keepdims=True) for x in (a, b))
    return cosine(a - centre_a, b - centre_b)


SIMILARITY = {"rmse": rmse, "cosine": cosine, "pearson": pearson}


def similarity_to_mean(
    maps: Float[ndarray, "m n b l"], reference: Float[ndarray, "r n b l"], measure: str, *, leave_out: bool
) -> Float[ndarray, "m n"]:
    """Return how alike each map is to the average of ``reference``, per model and sequence.

    Parameters
    ----------
    leave_out : bool
        Compare model i with the average of all references but number i. A member is part of its own ensemble's average,
        which flatters it; with ``leave_out`` everyone is compared with averages of equally many strangers: a model
        beyond the references (a student) with each of the leave-one-out averages, and their mean is returned.
    """
    score = SIMILARITY[measure]
    total = reference.sum(axis=0, dtype=np.float64)
    if not leave_out:
        return np.stack([score(one, total / len(reference)) for one in maps])
    others = [(total - one) / (len(reference) - 1) for one in reference]
    if maps is reference:
        return np.stack([score(one, other) for one, other in zip(maps, others, strict=True)])
    return np.stack([np.mean([score(one, other) for other in others], axis=0) for one in maps])


def variability(maps: Float[ndarray, "m n b l"], *, scale_free: bool) -> Float[ndarray, " n"]:
    """Return how much the maps of a sequence vary over models: the root of the sum of variances over positions and bases.

    The published measure up to the estimator: variance over models with ``correction=1`` (published: 0, with 10 models of
    either kind), so that two students are not less variable than ten members by counting alone. It shrinks with the maps;
    scale-free, every map is first divided by its own norm, so that only directions count.
    """
    maps = maps.astype(np.float64)
    if scale_free:
        maps = maps / np.sqrt(np.sum(np.square(maps), axis=(2, 3), keepdims=True))
    return np.sqrt(np.sum(np.var(maps, axis=0, correction=1), axis=(1, 2)))


def motif_recall(contributions: Float[ndarray, "n l"], truth: Bool[ndarray, "n l"]) -> Float[ndarray, " n"]:
    """Return the share of planted motif positions among the strongest positions of each sequence.

    With k planted positions, the k largest contributions by size are looked at (recall and precision are then equal).

    Parameters
    ----------
    contributions : (n, l) array
        Of the base that is there; signs do not count.
    truth : (n, l) bool array
        Planted positions.

    Returns
    -------
    (n,) array
        0 to 1; NaN for a sequence without motifs.
    """
    rank = np.argsort(np.argsort(-np.abs(contributions), axis=1, kind="stable"), axis=1, kind="stable")
    planted = truth.sum(axis=1)
    found = (truth & (rank < planted[:, None])).sum(axis=1)
    return np.where(planted > 0, found / np.maximum(planted, 1), np.nan)
