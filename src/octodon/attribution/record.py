"""What an attribution is: a map per sequence, per member where there are several, and how it came about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from octodon.errors import DataError
from octodon.seq.codes import N_CODE


@dataclass(frozen=True, kw_only=True, eq=False)
class Attribution:
    """Maps of one scalar of a prediction.

    Attributes
    ----------
    ids : (n,) array of str
    codes : (n, l) uint8
        The sequences that were explained, A C G T N = 0 1 2 3 4.
    maps : (n, 4, l) float32
        A value for every base at every position, NOT multiplied by the input ("hypothetical" contributions), in the
        units of the output. For an ensemble's activity the average of its members' maps.
    member_maps : (m, n, 4, l) float32 or None
        Each member's map, where the members were explained one by one.
    method, output : str
        Name of the method (what was asked for), and of the scalar ("activity of Dev").
    units : str
    background : str
        What the maps are relative to, in words; "" for methods without a background.
    deltas : (m, n) float32 or None
        Convergence delta of each explained network: f(x) - mean f(background) - sum of the observed contributions; 0 for an
        exact decomposition. None for methods that promise none.
    fallback : str
        Which method was used instead and why; "" as a rule.
    """

    ids: ndarray
    codes: UInt8[ndarray, "n l"]
    maps: Float32[ndarray, "n 4 l"]
    member_maps: Float32[ndarray, "m n 4 l"] | None = None
    method: str
    output: str
    units: str = "activity"
    background: str = ""
    deltas: Float32[ndarray, "m n"] | None = None
    fallback: str = ""

    def __post_init__(self) -> None:
        n, length = self.codes.shape
        if len(self.ids) != n or self.maps.shape != (n, 4, length):
            raise DataError(
                f"attribution: {len(self.ids)} ids, codes {self.codes.shape}, maps {self.maps.shape}; expected n ids, "
                f"(n, length) and (n, 4, length)"
            )

    @property
    def one_hot(self) -> Float32[ndarray, "n 4 l"]:
        """The sequences in one-hot; N is four zeros."""
        return one_hot_of(self.codes)

    @property
    def observed(self) -> Float32[ndarray, "n l"]:
        """Contribution of the base that is there, per position; 0 at an N."""
        return (self.maps * self.one_hot).sum(axis=1)

    @property
    def std(self) -> Float32[ndarray, "n 4 l"] | None:
        """Population standard deviation of the map over members (``correction=0``); None for fewer than two."""
        if self.member_maps is None or len(self.member_maps) < 2:
            return None
        return np.std(self.member_maps, axis=0, correction=0)

    @property
    def observed_std(self) -> Float32[ndarray, "n l"] | None:
        """The std over members of the contribution of the base that is there."""
        return None if (std := self.std) is None else (std * self.one_hot).sum(axis=1)

    @property
    def effects(self) -> Float[ndarray, "n 4 l"]:
        """Each base's value minus that of the base that is there: for method "ism" the effect of the mutation; NaN at an N."""
        own = np.where(self.codes == N_CODE, np.float32(np.nan), self.observed)
        return self.maps - own[:, None]


def one_hot_of(codes: UInt8[ndarray, "n l"]) -> Float32[ndarray, "n 4 l"]:
    """Return the one-hot of codes; N is four zeros."""
    return np.eye(5, 4, dtype=np.float32)[codes].transpose(0, 2, 1)


def centred(maps: Float[ndarray, "*m 4 l"]) -> Float[ndarray, "*m 4 l"]:
    """Return maps minus their mean over the four bases of each position.

    One-hot input lies on a simplex: a constant added to all four bases of a position changes no prediction, so that
    part of a map is arbitrary (Majdandzic et al. 2023, Genome Biology 24, 109).
    """
    return maps - maps.mean(axis=-2, keepdims=True)
