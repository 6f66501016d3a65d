"""How likely the sequence is under a Markov chain of the training sequences, less what its composition explains."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from octodon.ood import scores
from octodon.ood._base import Arrays, Observed, Score
from octodon.seq.codes import N_CODE

ORDER = 6
_WORD = ORDER + 1
_WEIGHT = 4.0
"""Occurrences that the chain of one order less counts for in each context."""
COMPOSITION = 0.5
"""Share of the likelihood under the sequence's own composition that is taken off: 0 = likelihood, 1 = ratio."""
_FOLDS = 50
_ROWS = 16_384


@scores.register("markov")
class MarkovScore(Score):
    """Negative log-likelihood under a Markov chain of order 6, half of what composition explains taken off; the default.

    Both strands count, in nats per base. A chain alone calls DNA likely that is as uneven as its training sequences (GC-rich
    DNA where promoters are learnt); Ren et al. 2019 (NeurIPS 32, 14707) divide by the likelihood under a background, here the
    sequence's own composition. That whole ratio in turn is less sure of foreign DNA. Of five shares from none to all of it, half
    was the best on held-out rows of two assays and of simulated DNA, and within 0.011 of the best mean AUROC on two more assays
    (``benchmarks/results/ood.md``). Sees shuffled DNA, other organisms, other composition;
    hardly single mutations.
    """

    needs = "codes"

    @staticmethod
    def fit(reference: Observed, seed: int) -> Arrays:
        """Return the log-probability of a base after six others, by 7-mer."""
        del seed
        return {"log_probability": _log_probability(_word_counts(reference.codes)).astype(np.float32)}

    @staticmethod
    def score(arrays: Mapping[str, ndarray], observed: Observed) -> Float[ndarray, " n"]:
        """Return the corrected negative log-likelihoods."""
        chain = mean_log_probability(arrays["log_probability"], observed.codes)
        return COMPOSITION * own_log_likelihood(observed.codes) - chain

    @classmethod
    def score_reference(
        cls, arrays: Mapping[str, ndarray], reference: Observed, seed: int
    ) -> Float[ndarray, " n"]:
        """Return the scores of the reference under chains that did not see the sequence itself."""
        del arrays
        chain = _unseen_log_probability(reference.codes, seed)
        return COMPOSITION * own_log_likelihood(reference.codes) - chain


def _unseen_log_probability(codes: UInt8[ndarray, "n l"], seed: int) -> Float[ndarray, " n"]:
    """Return the mean log-probability of each sequence under the chain of 49 fiftieths that it is not part of.

    What a chain says of new sequences depends on how much it has seen: with fifths, all would look less likely than new
    sequences do to the chain of all.
    """
    fold = np.random.default_rng(seed).permutation(len(codes)) % _FOLDS
    total, unseen = _word_counts(codes), np.empty(len(codes))
    for number in range(min(_FOLDS, len(codes))):
        part = codes[fold == number]
        unseen[fold == number] = mean_log_probability(_log_probability(total - _word_counts(part)), part)
    return unseen


def _words(codes: UInt8[ndarray, "n l"]) -> tuple[Int[ndarray, "n w"], ndarray]:
    """Return the number (0 to 4**7 - 1) of each 7-mer, and whether it is free of N."""
    width = max(codes.shape[1] - _WORD + 1, 0)
    places = [codes[:, place : place + width] for place in range(_WORD)]
    number = np.zeros((len(codes), width), dtype=np.int32)
    for letters in places:
        number = 4 * number + letters
    known = ~np.any([letters == N_CODE for letters in places], axis=0)
    return np.where(known, number, 0), known


def _word_counts(codes: UInt8[ndarray, "n l"]) -> Float[ndarray, " k"]:
    """Return how often each 7-mer occurs on the two strands together."""
    counts = np.zeros(4**_WORD)
    for start in range(0, len(codes), _ROWS):
        number, known = _words(codes[start : start + _ROWS])
        counts += np.bincount(number[known], minlength=4**_WORD)
    return counts + counts[_other_strand()]


def _log_probability(counts: Float[ndarray, " k"]) -> Float[ndarray, " k"]:
    """Return the log-probability of the last base of each 7-mer after its first six, the mean over both strands.

    Contexts that are seen seldom lean on the next shorter ones, and those of no base on a quarter each.
    """
    probability = np.full((1, 4), 0.25)
    for length in range(1, _WORD + 1):
        # occurrences of the last ``length`` letters: a row per context of one letter less
        seen = counts.reshape(-1, 4**length).sum(axis=0).reshape(-1, 4)
        shorter = np.tile(probability, (len(seen) // len(probability), 1))
        probability = (seen + _WEIGHT * shorter) / (seen.sum(axis=1, keepdims=True) + _WEIGHT)
    logs = np.log(probability).ravel()
    return (logs + logs[_other_strand()]) / 2


def mean_log_probability(chain: Float[ndarray, " k"], codes: UInt8[ndarray, "n l"]) -> Float[ndarray, " n"]:
    """Return the mean over the 7-mers without N of each sequence; that of DNA without any order where it has none."""
    means = np.empty(len(codes))
    for start in range(0, len(codes), _ROWS):
        number, known = _words(codes[start : start + _ROWS])
        total, count = np.where(known, chain[number], 0.0).sum(axis=1, dtype=np.float64), known.sum(axis=1)
        means[start : start + _ROWS] = np.where(count > 0, total / np.maximum(count, 1), np.log(0.25))
    return means


def own_log_likelihood(codes: UInt8[ndarray, "n l"]) -> Float[ndarray, " n"]:
    """Return the mean log-probability of a sequence's bases under its own composition: minus their entropy."""
    counts = np.stack([(codes == base).sum(axis=1) for base in range(N_CODE)], axis=1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return (share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)


@functools.cache
def _other_strand() -> Int[ndarray, " k"]:
    """Return the number of the reverse complement of each 7-mer."""
    letters = np.array(list(np.ndindex(*(4,) * _WORD)))
    return (3 - letters[:, ::-1]) @ 4 ** np.arange(_WORD - 1, -1, -1)
