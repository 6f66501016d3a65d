"""Motifs and where they are put: sites that do not overlap, letters drawn from each motif's matrix, on either strand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from octodon.errors import ConfigError
from octodon.seq.codes import ALPHABET, reverse_complement

# IUPAC-IUB 1984: the bases behind each letter.
_BASES = {
    "A": "A",
    "C": "C",
    "G": "G",
    "T": "T",
    "R": "AG",
    "Y": "CT",
    "S": "CG",
    "W": "AT",
    "K": "GT",
    "M": "AC",
    "B": "CGT",
    "D": "AGT",
    "H": "ACT",
    "V": "ACG",
    "N": "ACGT",
}


@dataclass(frozen=True, kw_only=True)
class Motif:
    """A motif and what one site of it does.

    Attributes
    ----------
    name : str
    consensus : str
        IUPAC letters; the bases behind a letter are equally probable.
    strengths : tuple of float
        Effect of a site on each of the first targets, in log2 units, on the "+" strand in the middle of the sequence.
        (Targets beyond these get strengths drawn from the seed.)
    reverse_factor : float
        Effect on the "-" strand relative to "+"; 1 where the orientation does not matter.
    log_noise : float
        What one site adds to the natural logarithm of the noise std.
    """

    name: str
    consensus: str
    strengths: tuple[float, ...]
    reverse_factor: float = 1.0
    log_noise: float = 0.0

    def __post_init__(self) -> None:
        wrong = sorted(set(self.consensus) - set(_BASES))
        if wrong or not self.consensus:
            raise ConfigError(
                f"motif {self.name!r}: consensus {self.consensus!r}, expected IUPAC letters {''.join(_BASES)}"
            )

    @property
    def pwm(self) -> Float[ndarray, "w 4"]:
        """Probability of A, C, G, T at every position of the "+" strand."""
        rows = [
            [(base in _BASES[letter]) / len(_BASES[letter]) for base in ALPHABET] for letter in self.consensus
        ]
        return np.array(rows, dtype=np.float64)


# Sixteen bits or more each: at 50 % GC a motif matches by chance, on either strand, at most 0.8 % of random 249-mers.
MOTIFS = (
    Motif(name="gata", consensus="CAGATAAGV", strengths=(1.3, 0.3)),
    Motif(name="ets", consensus="MCCGGAAGT", strengths=(0.5, 1.3)),
    Motif(name="ap1", consensus="RTGAGTCAY", strengths=(1.2, 0.1)),
    Motif(name="sp", consensus="GGGCGGRRC", strengths=(0.3, 1.0), reverse_factor=0.5),
    Motif(name="tead", consensus="RCATTCCAW", strengths=(0.8, 0.6), reverse_factor=0.2, log_noise=0.5),
    Motif(name="rest", consensus="TTCAGCACCR", strengths=(-1.2, -0.7)),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Where sites lie: one row a sequence, one column a slot in order of position; unused slots have width 0.

    Attributes
    ----------
    motif : (n, s) int
        Index of the motif; -1 = unused.
    start, width : (n, s) int
        0-based first base, and bases.
    forward : (n, s) bool
        True on the "+" strand.
    """

    motif: Int[ndarray, "n s"]
    start: Int[ndarray, "n s"]
    width: Int[ndarray, "n s"]
    forward: ndarray

    @property
    def stop(self) -> Int[ndarray, "n s"]:
        """0-based end, exclusive."""
        return self.start + self.width


def draw_layout(
    motif: Int[ndarray, "n s"], motif_width: Int[ndarray, " k"], length_bp: int, rng: np.random.Generator
) -> Layout:
    """Return random places for the motifs of every row, in the order given, without overlap.

    The free bases of a row are dealt uniformly into the gaps; orientation is a fair coin. ``motif`` has its used slots first;
    -1 = unused.
    """
    used = motif >= 0
    width = np.where(used, motif_width[motif], 0)
    free = length_bp - width.sum(axis=1, keepdims=True)
    if free.size and free.min() < 0:
        raise ConfigError(
            f"simulation: sites of {width.sum(axis=1).max()} bp together do not fit a sequence of {length_bp} bp; "
            f"choose a longer sequence or fewer sites"
        )
    share = np.sort(np.where(used, rng.random(motif.shape), 2.0), axis=1)
    bases_before = np.cumsum(width, axis=1) - width
    start = np.where(used, (share * (free + 1)).astype(np.int64) + bases_before, 0)
    return Layout(motif=motif, start=start, width=width, forward=rng.random(motif.shape) < 0.5)


def plant(
    codes: UInt8[ndarray, "n l"], layout: Layout, motifs: tuple[Motif, ...], rng: np.random.Generator
) -> None:
    """Write a site of every motif into ``codes``, IN PLACE, its letters drawn from the motif's matrix."""
    for index, motif in enumerate(motifs):
        row, slot = np.nonzero(layout.motif == index)
        start, forward = layout.start[row, slot], layout.forward[row, slot]
        cumulative = np.cumsum(motif.pwm, axis=1)[:, :3]
        draws = rng.random((len(row), len(cumulative), 1), dtype=np.float32)
        letters = (draws >= cumulative).sum(axis=2, dtype=np.uint8)
        letters = np.where(forward[:, None], letters, reverse_complement(letters))
        codes[row[:, None], start[:, None] + np.arange(letters.shape[1])] = letters
