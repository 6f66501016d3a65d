"""Random DNA of the same dinucleotides."""

from __future__ import annotations

from jaxtyping import UInt8
from numpy import ndarray

from octodon.seq import shuffle
from octodon.shifts.kinds import shifts


@shifts.register("dinucleotide_shuffle")
def dinucleotide_shuffle(codes: UInt8[ndarray, "n l"], seed: int) -> UInt8[ndarray, "n l"]:
    """Return each sequence in an order that keeps the count of every dinucleotide; motifs are lost, composition is not."""
    return shuffle.dinucleotide_shuffle(codes, 1, seed)[:, 0]
