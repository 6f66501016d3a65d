"""How far counts of short words go: ridge regression on k-mers, the line that a network has to beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8
from numpy import ndarray
from scipy.linalg import cho_factor, cho_solve

from octodon.data.examples import Examples
from octodon.data.values import require_values
from octodon.records import Prediction
from octodon.seq.codes import N_CODE, reverse_complement

# Six bases are the core of most binding sites. On promoter tiles (Mattioli et al. 2020) words up to 4, 5 and 6 reach a
# test r of 0.62, 0.67 and 0.70, on 1,000 DeepSTARR sequences 0.33, 0.35 and 0.35; seven would be 8,192 words.
LONGEST = 6

# Half decades around the number of times that a word of six occurs in a sequence, times the rows of ordinary tables.
PENALTIES = tuple(float(10.0**exponent) for exponent in np.arange(0, 6.5, 0.5))

_BLOCK_ROWS = 2048
"""Rows whose counts are in memory at once: 45 MB."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KmerRidge:
    """A fitted ridge regression on counts of k-mers.

    Attributes
    ----------
    target_names : tuple of str
    weights : (w, t) float64
        Change of the activity per occurrence of each word.
    offset : (t,) float64
        Activity of a sequence without any word.
    penalty : (t,) float64
        The penalty with the lowest squared error on the validation rows.
    """

    target_names: tuple[str, ...]
    weights: Float64[ndarray, "w t"]
    offset: Float64[ndarray, " t"]
    penalty: Float64[ndarray, " t"]

    def predict(self, codes: UInt8[ndarray, "n l"], ids: Sequence[str]) -> Prediction:
        """Return the activity of sequences, in the units of the targets; a ridge regression gives no uncertainty."""
        parts = [counts @ self.weights + self.offset for counts in _blocks(codes)]
        mean = np.concatenate(parts) if parts else np.empty((0, len(self.target_names)))
        return Prediction(ids=np.asarray(ids), target_names=self.target_names, mean=mean)


def fit_kmer_ridge(train: Examples, valid: Examples) -> KmerRidge:
    """Fit the measured activity to counts of all words of 1 to 6 bases, a word and its reverse complement being one.

    Rows without a value are left out target by target. The penalty is chosen per target on the validation rows; the
    strongest where none of them has a value. Counts are made block by block, and only their products are kept (62 MB),
    so that memory does not grow with the table.

    Parameters
    ----------
    train, valid : Examples
        Same targets.

    Raises
    ------
    DataError
        A target has no value in any training row.
    """
    require_values(train)  # the mean of none would be an offset of NaN
    known = np.isfinite(train.targets)
    weights = np.zeros((n_words(), len(train.target_names)))
    offset, penalty = np.zeros(len(train.target_names)), np.zeros(len(train.target_names))
    # Targets measured for the same rows share the products, which are most of the work.
    for rows in {column.tobytes(): column for column in known.T}.values():
        targets = [t for t in range(known.shape[1]) if np.array_equal(known[:, t], rows)]
        y = train.targets[rows][:, targets].astype(np.float64)
        candidates, centre = _solutions(train.codes[rows], y - y.mean(axis=0))
        offsets = [y.mean(axis=0) - centre @ solution for solution in candidates]
        losses = _squared_errors(candidates, offsets, valid.codes, valid.targets[:, targets])
        for column, t in enumerate(targets):
            best = int(np.argmin(losses[:, column]))
            weights[:, t], offset[t] = candidates[best][:, column], offsets[best][column]
            penalty[t] = PENALTIES[::-1][best]
    return KmerRidge(target_names=train.target_names, weights=weights, offset=offset, penalty=penalty)


def n_words() -> int:
    """Return the number of words, each with its reverse complement."""
    return sum(count for _, count in map(_canonical, range(1, LONGEST + 1)))


def word_counts(codes: UInt8[ndarray, "n l"]) -> Float32[ndarray, "n w"]:
    """Return how often each word of 1 to 6 bases or its reverse complement occurs; words with an N do not count."""
    n, length = codes.shape
    parts, number, known = [], np.zeros((n, length), dtype=np.int32), np.ones((n, length), dtype=bool)
    for k in range(1, LONGEST + 1):
        label, count = _canonical(k)
        if length < k:
            parts.append(np.zeros((n, count), dtype=np.float32))
            continue
        last = codes[:, k - 1 :]
        # the word one shorter that starts here, and its next base
        number, known = number[:, : length - k + 1] * 4 + last, known[:, : length - k + 1] & (last != N_CODE)
        place = np.arange(n)[:, None] * count + label[np.where(known, number, 0)]
        found = np.bincount(place[known], minlength=n * count)
        parts.append(found.reshape(n, count).astype(np.float32))
    return np.concatenate(parts, axis=1)


@cache
def _canonical(k: int) -> tuple[ndarray, int]:
    """Return the label of every word of k bases, shared with its reverse complement, and the number of labels."""
    digits = np.arange(4**k)[:, None] // 4 ** np.arange(k - 1, -1, -1) % 4
    other = reverse_complement(digits.astype(np.uint8)).astype(np.int64) @ 4 ** np.arange(k - 1, -1, -1)
    labels, inverse = np.unique(np.minimum(np.arange(4**k), other), return_inverse=True)
    return inverse, len(labels)


def _blocks(codes: UInt8[ndarray, "n l"]) -> Iterator[Float32[ndarray, "b w"]]:
    for start in range(0, len(codes), _BLOCK_ROWS):
        yield word_counts(codes[start : start + _BLOCK_ROWS])


def _solutions(
    codes: UInt8[ndarray, "n l"], y: Float64[ndarray, "n t"]
) -> tuple[list[Float64[ndarray, "w t"]], Float64[ndarray, " w"]]:
    """Return the weights for each penalty, the strongest first, and the mean counts."""
    if len(codes) <= n_words():
        counts = word_counts(codes).astype(np.float64)
        centre = counts.mean(axis=0)
        counts -= centre
        # w = X' (X X' + a)^-1 y: as many equations as rows, where there are fewer rows than words
        products = counts @ counts.T
        duals = [_solved(products, y, penalty) for penalty in PENALTIES[::-1]]
        return [counts.T @ dual for dual in duals], centre
    products, right, centre = _products(codes, y)
    return [_solved(products, right, penalty) for penalty in PENALTIES[::-1]], centre


def _products(
    codes: UInt8[ndarray, "n l"], y: Float64[ndarray, "n t"]
) -> tuple[Float64[ndarray, "w w"], Float64[ndarray, "w t"], Float64[ndarray, " w"]]:
    """Return X'X and X'y of centred counts, and the centre; y is centred already."""
    products, right, total = np.zeros((n_words(), n_words())), np.zeros((n_words(), y.shape[1])), 0.0
    near = word_counts(codes[:_BLOCK_ROWS]).mean(axis=0)
    for number, counts in enumerate(_blocks(codes)):
        # Near their mean, products in single precision (twice as fast) lose nothing in the sum of squares.
        counts -= near
        products += counts.T @ counts
        right += counts.T @ y[number * _BLOCK_ROWS : (number + 1) * _BLOCK_ROWS]
        total = total + counts.sum(axis=0, dtype=np.float64)
    rest = np.asarray(total) / len(codes)
    products -= np.outer(len(codes) * rest, rest)
    return products, right, near + rest


def _solved(
    products: Float64[ndarray, "k k"], right: Float64[ndarray, "k t"], penalty: float
) -> Float64[ndarray, "k t"]:
    penalised = products.copy()
    penalised[np.diag_indices(len(penalised))] += penalty
    return cho_solve(cho_factor(penalised.T, lower=True, overwrite_a=True), right)


def _squared_errors(
    candidates: Sequence[Float64[ndarray, "w t"]],
    offsets: Sequence[Float64[ndarray, " t"]],
    codes: UInt8[ndarray, "n l"],
    measured: Float[ndarray, "n t"],
) -> Float64[ndarray, "a t"]:
    """Return the squared error of each candidate over the rows that have a value; 0 where none has."""
    known: Bool[ndarray, "n t"] = np.isfinite(measured)
    y = np.where(known, measured, 0.0)
    losses = np.zeros((len(candidates), measured.shape[1]))
    for number, counts in enumerate(_blocks(codes)):
        rows = slice(number * _BLOCK_ROWS, (number + 1) * _BLOCK_ROWS)
        for place, (weights, offset) in enumerate(zip(candidates, offsets, strict=True)):
            errors = np.where(known[rows], counts @ weights + offset - y[rows], 0.0)
            losses[place] += np.square(errors).sum(axis=0)
    return losses
