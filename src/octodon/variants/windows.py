"""Windows around both alleles, of the length that the model reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64, UInt8
from numpy import ndarray
from numpy.lib.stride_tricks import sliding_window_view

from octodon.data.genome import Genome
from octodon.errors import ConfigError
from octodon.seq.codes import N_CODE, encode
from octodon.variants.read import Variants
from octodon.variants.reference import groups

Edge = Literal["skip", "shift"]


@dataclass(frozen=True, kw_only=True)
class WindowOptions:
    """Where windows lie around a variant.

    Attributes
    ----------
    length_bp : int
        What the model reads.
    offsets_bp : tuple of int
        For each one pair of windows, whose centre lies this far to the right of the variant's.
    edge : str
        For windows that would leave the contig: "skip" the variant, or "shift" them inside, the variant off their centre.
    """

    length_bp: int
    offsets_bp: tuple[int, ...] = (0,)
    edge: Edge = "skip"

    def __post_init__(self) -> None:
        if not self.offsets_bp:
            raise ConfigError("--offsets: none given, expected at least 0")
        far = [offset for offset in self.offsets_bp if abs(offset) >= self.length_bp // 2]
        if far:
            raise ConfigError(
                f"--offsets {far[0]}: the variant would lie outside the window of {self.length_bp} bp; expected less than "
                f"{self.length_bp // 2} either way"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class AllelePairs:
    """Windows of both alleles.

    Attributes
    ----------
    ref, alt : (v, o, l) uint8 arrays
        One pair per variant and offset; equal but for the variant.
    fits : (v,) bool array
        False where no such windows exist; the row's codes are then N.
    """

    ref: UInt8[ndarray, "v o l"]
    alt: UInt8[ndarray, "v o l"]
    fits: Bool[ndarray, " v"]


def trimmed(variants: Variants) -> Variants:
    """Return the variants without the bases that both alleles share at an end (the last ones first, as VCF is left-aligned).

    Deletions and insertions then have an empty allele, and nothing but the change is centred.
    """
    pairs = list(zip(variants.refs.tolist(), variants.alts.tolist(), strict=True))
    trims = {pair: _trim(*pair) for pair in set(pairs)}  # substitutions are only twelve pairs
    return Variants(
        contigs=variants.contigs,
        starts=variants.starts + np.array([trims[pair][0] for pair in pairs], dtype=np.int64),
        ids=variants.ids,
        refs=np.array([trims[pair][1] for pair in pairs], dtype=object),
        alts=np.array([trims[pair][2] for pair in pairs], dtype=object),
    )


def _trim(ref: str, alt: str) -> tuple[int, str, str]:
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    shift = 0
    while shift < min(len(ref), len(alt)) and ref[shift] == alt[shift]:
        shift += 1
    return shift, ref[shift:], alt[shift:]


def allele_pairs(variants: Variants, genome: Genome, options: WindowOptions) -> AllelePairs:
    """Return the windows of both alleles.

    Each window has its allele in the middle: position ``length // 2`` is the middle base of an allele of odd length, and
    the first base after the cut of an empty one. Around an insertion or deletion both windows keep the model's length, so
    that the flanks of the two lose or gain what the alleles differ by, half of it on each side. Offsets move windows only
    as far as the allele stays inside.
    """
    n, shape = len(variants), (len(variants), len(options.offsets_bp), options.length_bp)
    ref, alt = np.full(shape, N_CODE, np.uint8), np.full(shape, N_CODE, np.uint8)
    fits = np.zeros(n, dtype=bool)
    for contig, ref_bp, alt_bp, rows in groups(variants):
        starts, contig_bp = variants.starts[rows], genome.lengths_bp[contig]
        before, after = starts, contig_bp - starts - ref_bp
        lefts = {width: _lefts(width, before, after, options) for width in (ref_bp, alt_bp)}
        ok = np.all([valid for _, valid in lefts.values()], axis=0)
        kept = np.flatnonzero(ok)
        if not len(kept):
            continue
        length = options.length_bp
        flanks = _flanks(genome, contig, starts[kept], ref_bp, length)
        for alleles, width, out in ((variants.refs, ref_bp, ref), (variants.alts, alt_bp, alt)):
            bases = encode(alleles[rows[kept]].tolist()) if width else np.empty((len(kept), 0), np.uint8)
            haplotypes = np.concatenate([flanks[0], bases, flanks[1]], axis=1)
            at = length - lefts[width][0][kept]
            out[rows[kept]] = sliding_window_view(haplotypes, length, axis=1)[
                np.arange(len(kept))[:, None], at
            ]
        fits[rows[kept]] = True
    return AllelePairs(ref=ref, alt=alt, fits=fits)


def _lefts(
    width: int, before: Int64[ndarray, " k"], after: Int64[ndarray, " k"], options: WindowOptions
) -> tuple[Int64[ndarray, "k o"], Bool[ndarray, " k"]]:
    """Return how many bases of each window lie left of an allele of ``width``, and whether all windows are possible.

    ``before`` and ``after`` are the bases that the contig has on either side.
    """
    offsets = np.array(options.offsets_bp, dtype=np.int64)
    rest = options.length_bp - width
    wanted = np.broadcast_to(options.length_bp // 2 - width // 2 - offsets, (len(before), len(offsets)))
    least, most = np.maximum(rest - after, 0)[:, None], np.minimum(before, rest)[:, None]
    possible = np.broadcast_to(least <= most, wanted.shape)
    if options.edge == "skip":
        possible = possible & (wanted <= before[:, None]) & (rest - wanted <= after[:, None])
    return np.clip(wanted, least, np.maximum(most, least)), np.all(possible, axis=1)


def _flanks(
    genome: Genome, contig: str, starts: Int64[ndarray, " k"], ref_bp: int, length: int
) -> tuple[UInt8[ndarray, "k l"], UInt8[ndarray, "k l"]]:
    """Return ``length`` bases on either side of each reference allele; N beyond the contig, where no window reaches."""
    contig_bp = genome.lengths_bp[contig]
    whole_bp = 2 * length + ref_bp
    firsts = starts - length
    around = np.full((len(starts), whole_bp), N_CODE, np.uint8)
    inside = (firsts >= 0) & (firsts + whole_bp <= contig_bp)
    around[inside] = genome.windows(contig, firsts[inside], whole_bp)
    for row in np.flatnonzero(~inside).tolist():  # only at the ends of a contig
        first, stop = max(int(firsts[row]), 0), min(int(firsts[row]) + whole_bp, contig_bp)
        at = first - int(firsts[row])
        around[row, at : at + stop - first] = genome.fetch(contig, first, stop)
    return around[:, :length], around[:, length + ref_bp :]
