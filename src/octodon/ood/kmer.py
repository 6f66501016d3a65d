"""Composition of the sequence itself, whatever the network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from octodon.ood import scores
from octodon.ood._base import Arrays, Observed, Score, fit_gaussian, gaussian_distance
from octodon.seq.codes import N_CODE, reverse_complement

K = 4


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
    if codes.shape[1] < K:
        return counts
    rows = np.arange(len(codes))[:, None]
    for strand in (codes, reverse_complement(codes)):
        windows = np.lib.stride_tricks.sliding_window_view(strand, K, axis=1)
        number = (windows.astype(np.int32) * 4 ** np.arange(K, dtype=np.int32)).sum(axis=2)
        known = ~(windows == N_CODE).any(axis=2)
        flat = (rows * 4**K + number)[known]
        counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)
    return counts
