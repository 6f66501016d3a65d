"""Which examples are copies of each other: equal sequences, reverse complements, forward and reverse partners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from jaxtyping import Bool, Int, UInt8
from numpy import ndarray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from octodon.errors import DataError
from octodon.seq.codes import reverse_complement

pc: Any = pyarrow.compute  # its functions are made at import, unseen by type checkers

# Exactly what the lentiMPRA libraries use: name_Reversed, name_Reversed_0, name_Reversed: (and nothing near it).
_REVERSE_SUFFIX = r"_Reversed(?:_[0-9]+|:)?$"
# The WTC11 library writes the forward partner of "seq1_Reversed:" as "seq1_F".
_FORWARD_SUFFIX = r"_F$"
# Two sequences that share a core of 20 bp only by chance: 1 in 4**20. A shorter core says nothing about relatedness.
_MIN_CORE_BP = 20
_ROWS = 2**16
"""Turned round at once."""


def partner_name(ids: ndarray) -> ndarray:
    """Return the forward name behind every identifier.

    Parameters
    ----------
    ids : (n,) array of str

    Returns
    -------
    (n,) array of str
        Without the exact suffix ``_Reversed``, ``_Reversed_<digits>`` or ``_Reversed:``; all other names unchanged.
        ("xReversed_0" and "x_Reversed_0b" are such other names.)
    """
    forward = pc.replace_substring_regex(_strings(ids), pattern=_REVERSE_SUFFIX, replacement="")
    return forward.to_numpy(zero_copy_only=False)


def partner_labels(ids: ndarray) -> Int[ndarray, " n"]:
    """Return one label per forward/reverse family: equal labels = orientations of one element.

    A name ending in ``_F`` counts as the forward partner of ``name_Reversed...`` only where such a name is present.
    """
    names = _strings(ids)
    forward = pc.replace_substring_regex(names, pattern=_REVERSE_SUFFIX, replacement="")
    is_reverse = pc.not_equal(names, forward)
    bases = forward.filter(is_reverse)
    if not len(bases):
        return np.arange(len(names))
    stripped = pc.replace_substring_regex(names, pattern=_FORWARD_SUFFIX, replacement="")
    is_marked_forward = pc.and_(pc.not_equal(stripped, names), pc.is_in(stripped, value_set=pc.unique(bases)))
    families = _labels(pc.if_else(is_marked_forward, stripped, forward))
    # Equal names alone make no family: some tables call all their random sequences "RANDOM".
    has_reverse = np.bincount(families, weights=is_reverse.to_numpy(zero_copy_only=False)) > 0
    return np.where(has_reverse[families], families, len(families) + np.arange(len(families)))


def duplicate_labels(codes: UInt8[ndarray, "n l"]) -> Int[ndarray, " n"]:
    """Return one label per distinct sequence; equal labels = the same bases in the same order."""
    return _labels_of_packed(_packed(codes))


def strandless_labels(codes: UInt8[ndarray, "n l"]) -> Int[ndarray, " n"]:
    """Return one label per sequence whichever strand it is written on.

    Each row is replaced by the smaller, in the order of its codes, of itself and its reverse complement.
    """
    blocks = [codes[start : start + _ROWS] for start in range(0, len(codes), _ROWS)]
    packed = [_packed(_smaller_strand(block)) for block in blocks]
    return _labels_of_packed(np.concatenate(packed) if packed else _packed(codes))


def _smaller_strand(codes: UInt8[ndarray, "n l"]) -> UInt8[ndarray, "n l"]:
    if not codes.size:
        return codes
    other = reverse_complement(codes)
    first_difference = (codes != other).argmax(axis=1)[:, None]  # 0 for palindromes, where either will do
    other_is_smaller = np.take_along_axis(other, first_difference, 1) < np.take_along_axis(
        codes, first_difference, 1
    )
    np.copyto(other, codes, where=~other_is_smaller)
    return other


def _packed(codes: UInt8[ndarray, "n l"]) -> UInt8[ndarray, "n p"]:
    """Return three bases a byte (5^3 = 125 values), the last ones filled up with A: a third of the memory, hashed as fast."""
    packed = np.zeros((len(codes), -(-codes.shape[1] // 3)), dtype=np.uint8)
    for place, factor in enumerate((25, 5, 1)):
        part = codes[:, place::3]
        packed[:, : part.shape[1]] += part * np.uint8(factor)
    return packed


def _labels_of_packed(packed: UInt8[ndarray, "n p"]) -> Int[ndarray, " n"]:
    n, width = packed.shape
    if n == 0 or width == 0:
        return np.zeros(n, dtype=np.int64)
    buffer = pa.py_buffer(np.ascontiguousarray(packed))
    return _labels(pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), n, [None, buffer]))


def constant_flanks(codes: UInt8[ndarray, "n l"]) -> tuple[int, int]:
    """Return how many bases at the start and at the end are the same in every row (adaptors), in bp.

    (0, 0) where fewer than 20 bp would remain between them: such rows are variants of one sequence, not elements
    between adaptors.
    """
    if len(codes) < 2:
        return 0, 0
    varies = np.flatnonzero((codes != codes[0]).any(axis=0))
    if not len(varies):
        return 0, 0
    start, stop = int(varies[0]), int(varies[-1]) + 1
    if stop - start < _MIN_CORE_BP:
        return 0, 0
    return start, codes.shape[1] - stop


def core_labels(codes: UInt8[ndarray, "n l"]) -> Int[ndarray, " n"]:
    """Return ``strandless_labels`` of what lies between constant flanks.

    A lentiMPRA element that was cloned both ways round keeps its adaptors, so the two 230-mers are no reverse
    complements of each other although their elements are.
    """
    left, right = constant_flanks(codes)
    return strandless_labels(codes[:, left : codes.shape[1] - right])


def related_groups(codes: UInt8[ndarray, "n l"], ids: ndarray, *groups: ndarray) -> Int[ndarray, " n"]:
    """Return the connected component of every example under "is a copy of".

    Joined are exact duplicates, exact reverse complements (of the whole sequence, or of what lies between flanks
    that all rows share), forward/reverse name partners, and rows with equal values in any of ``groups``.

    Parameters
    ----------
    codes : (n, l) uint8
    ids : (n,) array of str
    *groups : (n,) arrays
        Further labels (gene, element family ...); a missing value is refused.

    Returns
    -------
    (n,) int
        Component numbers from 0, in the order of their first row.

    Raises
    ------
    DataError
        For a missing value in ``groups``.
    """
    labels = [strandless_labels(codes), partner_labels(ids), *map(_group_labels, groups)]
    if constant_flanks(codes) != (0, 0):
        labels.append(core_labels(codes))
    return components(*labels)


def components(*labels: Int[ndarray, " n"]) -> Int[ndarray, " n"]:
    """Return the connected components of rows that share a label in any of several labellings."""
    n = len(labels[0])
    rows = np.arange(n)
    firsts = [_first_row(label)[label] for label in labels]
    sources = np.concatenate([rows] * len(labels))
    edges = (np.ones(len(sources), dtype=bool), (sources, np.concatenate(firsts)))
    _, component = connected_components(coo_array(edges, shape=(n, n)), directed=False)
    return _in_order_of_appearance(component)


def counts_per_label(labels: Int[ndarray, " n"]) -> Int[ndarray, " n"]:
    """Return for every row how many rows carry its label."""
    return np.bincount(labels, minlength=1)[labels]


def repeats(labels: Int[ndarray, " n"]) -> Bool[ndarray, " n"]:
    """Return True for every row whose label occurred in an earlier row."""
    return _first_row(labels)[labels] != np.arange(len(labels))


def _first_row(labels: Int[ndarray, " n"]) -> Int[ndarray, " k"]:
    first = np.empty(int(labels.max(initial=-1)) + 1, dtype=np.int64)
    first[labels[::-1]] = np.arange(len(labels))[::-1]  # the last write wins: the earliest row
    return first


def _in_order_of_appearance(labels: ndarray) -> Int[ndarray, " n"]:
    return _labels(pa.array(labels))


def _group_labels(values: ndarray | Sequence[Any]) -> Int[ndarray, " n"]:
    array = pa.array(values, from_pandas=True)
    if array.null_count:
        row = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(
            f"group column: {array.null_count} of {len(array)} rows have no value (first: row {row + 1}); "
            f"give each its own group, or leave those rows out"
        )
    return _labels(array)


def _labels(values: Any) -> Int[ndarray, " n"]:
    """Return numbers from 0 in the order of their first appearance (a hash table: no sort)."""
    return values.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _strings(ids: ndarray | Sequence[str]) -> Any:
    return pa.array(np.asarray(ids).tolist(), type=pa.string())
