"""What contributions are relative to: dinucleotide shuffles of each sequence, or one set of sequences for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from octodon.errors import DataError
from octodon.seeds import derive_seed
from octodon.seq.codes import as_codes
from octodon.seq.shuffle import dinucleotide_shuffle

DEFAULT_SHUFFLES = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Background:
    """References of every sequence.

    Attributes
    ----------
    shared : (k, l) uint8 or None
        One set for all sequences; None = shuffles of each.
    k : int
        References per sequence.
    seed : int
    """

    shared: UInt8[ndarray, "k l"] | None
    k: int
    seed: int

    @property
    def description(self) -> str:
        """The background in words."""
        if self.shared is None:
            return f"{self.k} dinucleotide shuffles of each sequence, seed {self.seed}"
        return f"{self.k} given sequences, the same for all"

    def of(self, codes: UInt8[ndarray, "n l"]) -> UInt8[ndarray, "n k l"]:
        """Return the references of each sequence."""
        if self.shared is None:
            return dinucleotide_shuffle(codes, self.k, derive_seed(self.seed, "background"))
        return np.broadcast_to(self.shared, (len(codes), *self.shared.shape))


def background(given: Any, length: int, seed: int) -> Background:
    """Return the background that a user asks for: None or a number of shuffles, or sequences shared by all.

    Raises
    ------
    DataError
        For a number below 1, or sequences of another length.
    """
    if given is None or isinstance(given, int | np.integer):
        k = DEFAULT_SHUFFLES if given is None else int(given)
        if k < 1:
            raise DataError(f"background: {k} shuffles, expected at least 1")
        return Background(shared=None, k=k, seed=seed)
    shared = as_codes(given, "background")
    if shared.shape[1] != length:
        raise DataError(
            f"background: sequences of {shared.shape[1]} bp, those to explain have {length} bp; give equal lengths"
        )
    return Background(shared=shared, k=len(shared), seed=seed)
