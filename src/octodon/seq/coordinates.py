"""Names and positions on a genome: contigs called by either convention, intervals brought to one length."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

MITOCHONDRION = ("chrM", "M", "chrMT", "MT")
"""Names of one contig in the UCSC and the Ensembl convention, where a prefix alone does not lead from one to the other."""


def match_contigs(wanted: Iterable[str], known: Collection[str]) -> dict[str, str | None]:
    """Return for each wanted contig name the one that the genome uses; None where it has no such contig.

    A name that the genome knows is itself. Otherwise the prefix "chr" is added or taken away ("chr1" and "1"), and the
    four names of the mitochondrion count as one.

    Examples
    --------
    >>> match_contigs(["1", "chrX", "MT", "7"], ["chr1", "X", "chrM"])
    {'1': 'chr1', 'chrX': 'X', 'MT': 'chrM', '7': None}
    """
    names = set(known)
    return {name: next((n for n in _spellings(name) if n in names), None) for name in wanted}


def _spellings(name: str) -> list[str]:
    if name in MITOCHONDRION:
        return [name, *MITOCHONDRION]
    return [name, name.removeprefix("chr") if name.startswith("chr") else f"chr{name}"]


def centred_starts(
    starts: Int64[ndarray, " n"], stops: Int64[ndarray, " n"], length_bp: int
) -> Int64[ndarray, " n"]:
    """Return starts of windows of ``length_bp`` that share their centre with the intervals.

    Where interval and window differ by an odd number of bases, the odd one is on the right of the narrower: the central
    crop of an interval, and the interval as the central crop of a window, are cut as by the length policy "crop".

    Examples
    --------
    >>> centred_starts(np.array([100, 100]), np.array([105, 110]), 8).tolist()
    [99, 101]
    """
    extra = (stops - starts) - length_bp
    return np.where(extra >= 0, starts + extra // 2, starts - (-extra) // 2)
