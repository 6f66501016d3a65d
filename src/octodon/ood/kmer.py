"""Composition of the sequence itself, whatever the network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from octodon.ood import scores
from octodon.ood._base import Arrays, Observed, Score, fit_gaussian, gaussian_distance
from octodon.seq.codes import N_CODE

K = 4
_ROWS = 4096


@scores.register("kmer")
class KmerScore(Score):
    """Mahalanobis distance of the counts of 4-mers on both strands together from those of the training sequences.

    Sees other organisms, other GC content and broken low-complexity; blind to single mutations, and to where things lie.
    """

    needs = "codes"

    @staticmethod
    def fit(reference: Observed, seed: int) -> Arrays:
        """Return centre and whitening matrix of the counts."""
        del seed
        return fit_gaussian(kmer_counts(reference.codes))

    @staticmethod
    def score(arrays: Mapping[str, ndarray], observed: Observed) -> Float[ndarray, " n"]:
        """Return the distances."""
        return gaussian_distance(arrays, kmer_counts(observed.codes))


def kmer_counts(codes: UInt8[ndarray, "n l"]) -> Float[ndarray, "n 256"]:
    """Return how often each 4-mer occurs on the two strands together; those with an N do not count."""
    counts = np.zeros((len(codes), 4**K), dtype=np.float32)
    width = codes.shape[1] - K + 1
    if width < 1:
        return counts
    for start in range(0, len(codes), _ROWS):
        block = codes[start : start + _ROWS]
        places = [block[:, place : place + width] for place in range(K)]
        number = np.zeros((len(block), width), dtype=np.int64)
        for letters in reversed(places):  # the first letter counts ones
            number = 4 * number + letters
        number += 4**K * np.arange(len(block))[:, None]
        known = ~np.any([letters == N_CODE for letters in places], axis=0)
        found = np.bincount(number[known], minlength=len(block) * 4**K)
        counts[start : start + _ROWS] = found.reshape(len(block), 4**K)
    return counts + counts[:, _other_strand()]


def _other_strand() -> Int[ndarray, " 256"]:
    """Return the number of the reverse complement of each 4-mer."""
    letters = np.array(list(np.ndindex(*(4,) * K)))[
        :, ::-1
    ]  # of number 0, 1, 2 ..., the first letter counts ones
    return (3 - letters[:, ::-1]) @ 4 ** np.arange(K)
