"""Which sequences the networks of a bundle have seen, as fingerprints, so that none of them calibrates it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt64
from numpy import ndarray

from octodon.atomic import atomic_file
from octodon.data.examples import Examples
from octodon.errors import BundleError, DataError
from octodon.seq.codes import reverse_complement

SEEN = "seen.npy"
"""Beside config.json: 8 bytes for each sequence of train and valid. A bundle without it is as good, but cannot refuse."""


def fingerprints(codes: UInt8[ndarray, "n l"]) -> UInt64[ndarray, " n"]:
    """Return one number per sequence, the same for both strands.

    A sum of random 64-bit multiples of the bases, modulo 2**64: two different sequences collide with a chance of at most
    about 2**-61, so 400,000 training sequences and as many calibration rows do with a chance of 1e-7.
    """
    multiples = np.random.default_rng(codes.shape[1]).integers(0, 2**64, codes.shape[1], dtype=np.uint64)
    strands = []
    for strand in (codes, reverse_complement(codes)):
        total = np.zeros(len(codes), dtype=np.uint64)
        for column, multiple in zip(strand.T, multiples, strict=True):
            total += column.astype(np.uint64) * multiple
        strands.append(total)
    return np.minimum(*strands)


def save_seen(bundle: Path, codes: UInt8[ndarray, "n l"]) -> None:
    """Record the sequences by which a bundle's networks were trained or stopped."""
    with atomic_file(bundle / SEEN) as partial, partial.open("wb") as file:
        np.save(file, np.unique(fingerprints(codes)), allow_pickle=False)


def refuse_known(
    bundle: Path, examples: Examples, where: str = "calibration", advice: str = "leave them out"
) -> None:
    """Refuse examples whose sequences, or reverse complements, the bundle's networks have seen; no record refuses none.

    Raises
    ------
    DataError
        With how many, and the first.
    BundleError
        For a damaged record.
    """
    path = bundle / SEEN
    if not path.is_file():
        return
    try:
        known = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except (ValueError, OSError, EOFError):
        raise BundleError(f"{path}: damaged; copy the bundle again") from None
    seen = np.isin(fingerprints(examples.codes), known)
    if seen.any():
        raise DataError(
            f"{where}: {int(seen.sum())} of {len(seen)} sequences trained the networks of {bundle}, or stopped their "
            f"training (first: {examples.ids[np.flatnonzero(seen)[0]]!s}); their errors there look too small: {advice}"
        )
