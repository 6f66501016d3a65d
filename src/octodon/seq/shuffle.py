"""Dinucleotide shuffles: random sequences with exactly the same dinucleotide counts, for many sequences at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, UInt8, UInt64
from numpy import ndarray

from octodon.errors import DataError
from octodon.seq.codes import N_CODE

_LETTERS = N_CODE + 1
_BLOCK_BASES = 2_000_000
"""Bases shuffled at a time: keys and orders of a block take about 50 MB."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def dinucleotide_shuffle(codes: UInt8[ndarray, "n l"], k: int, seed: int) -> UInt8[ndarray, "n k l"]:
    """Return ``k`` shuffles of every sequence that keep the count of each dinucleotide, and so the first and last base.

    Every such sequence is equally likely (Altschul and Erickson 1985, Mol. Biol. Evol. 2, 526: uniform Euler paths
    through the graph of dinucleotides). N counts as a fifth letter. The shuffles of a sequence depend on
    (its letters, the seed) alone, not on what is shuffled beside it.

    Raises
    ------
    DataError
        For k below 1 or an empty sequence.
    """
    n, length = codes.shape
    if k < 1 or length < 1:
        raise DataError(f"dinucleotide shuffle: k = {k}, {length} bp; expected at least 1 of each")
    names = _names(codes, seed)
    shuffled = np.empty((n, k, length), dtype=np.uint8)
    rows = max(1, _BLOCK_BASES // (k * length))
    for start in range(0, n, rows):
        block = codes[start : start + rows]
        streams = _mix(names[start : start + rows, None] + np.arange(1, k + 1, dtype=np.uint64) * _GOLDEN)
        repeated = np.repeat(block, k, axis=0)
        shuffled[start : start + rows] = _shuffle(repeated, streams.ravel()).reshape(-1, k, length)
    return shuffled


def _shuffle(codes: UInt8[ndarray, "n l"], streams: UInt64[ndarray, " n"]) -> UInt8[ndarray, "n l"]:
    """Return one uniform Euler path per row."""
    n, length = codes.shape
    if length < 4:  # a path over at most two edges is the only one
        return codes.copy()
    source, destination = codes[:, :-1].astype(np.int64), codes[:, 1:].astype(np.int64)
    last = _last_edges(source, destination, streams)
    key = _uniform(streams, length - 1, attempt=0)
    row, letter = np.nonzero(last >= 0)
    key[row, last[row, letter]] = 2.0  # the last exit of a letter comes after all its others
    order = np.argsort(4.0 * source + key, axis=1)
    sorted_destination = np.take_along_axis(destination, order, axis=1)
    counts = np.stack([(source == letter).sum(axis=1) for letter in range(_LETTERS)], axis=1)
    next_edge = np.cumsum(counts, axis=1) - counts
    path = np.empty_like(codes)
    path[:, 0] = codes[:, 0]
    rows = np.arange(n)
    here = codes[:, 0].astype(np.int64)
    for step in range(1, length):
        edge = next_edge[rows, here]
        next_edge[rows, here] = edge + 1
        here = sorted_destination[rows, edge]
        path[:, step] = here
    return path


def _last_edges(
    source: Int[ndarray, "n e"], destination: Int[ndarray, "n e"], streams: UInt64[ndarray, " n"]
) -> Int[ndarray, "n 5"]:
    """Return the edge by which a path leaves each letter for the last time; -1 for the final letter and for absent ones.

    Drawn uniformly among the exits to another letter and drawn again until the final letter is reached from every
    letter: accepted draws are uniform over the spanning trees that end in it.
    """
    n = len(source)
    final = destination[:, -1]
    last = np.full((n, _LETTERS), -1, dtype=np.int64)
    pending = np.arange(n)
    attempt = 1
    while len(pending):
        key = _uniform(streams[pending], source.shape[1], attempt)
        leaves = source[pending] != destination[pending]
        chosen = np.full((len(pending), _LETTERS), -1, dtype=np.int64)
        leads_to = np.full((len(pending), _LETTERS), -1, dtype=np.int64)
        for letter in range(_LETTERS):
            usable = leaves & (source[pending] == letter)
            edge = np.where(usable, key, -1.0).argmax(axis=1)
            present = usable.any(axis=1) & (final[pending] != letter)
            chosen[present, letter] = edge[present]
            leads_to[present, letter] = destination[pending[present], edge[present]]
        arrived = _all_reach(leads_to, final[pending])
        last[pending[arrived]] = chosen[arrived]
        pending = pending[~arrived]
        attempt += 1
    return last


def _all_reach(leads_to: Int[ndarray, "n 5"], final: Int[ndarray, " n"]) -> ndarray:
    """Return whether every letter that has an exit leads to the final letter."""
    rows = np.arange(len(final))
    ok = np.ones(len(final), dtype=bool)
    for letter in range(_LETTERS):
        has_exit = leads_to[:, letter] >= 0
        here = np.full(len(final), letter)
        for _ in range(_LETTERS):
            onward = leads_to[rows, here]
            here = np.where((here == final) | (onward < 0), here, onward)
        ok &= ~has_exit | (here == final)
    return ok


def _names(codes: UInt8[ndarray, "n l"], seed: int) -> UInt64[ndarray, " n"]:
    """Return a hash of (letters, seed) per row: the name of its random stream."""
    position = np.arange(1, codes.shape[1] + 1, dtype=np.uint64) * _GOLDEN
    mixed = _mix(_mix(position) + codes.astype(np.uint64))
    total = mixed.sum(axis=1, dtype=np.uint64)
    return _mix(total + _mix(np.array([seed & (2**64 - 1)], dtype=np.uint64)))


def _uniform(streams: UInt64[ndarray, " n"], count: int, attempt: int) -> ndarray:
    """Return ``count`` numbers in [0, 1) per stream; another attempt, other numbers."""
    counter = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(attempt) * np.uint64(2**32)
    return (_mix(streams[:, None] + counter * _GOLDEN) >> np.uint64(11)) * 2.0**-53


def _mix(x: ndarray) -> ndarray:
    """Return SplitMix64's output function (Steele, Lea and Flood 2014, OOPSLA): a counter becomes a random number."""
    x = x.astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
