"""Do the reference alleles stand in the genome? Counts, and what is wrong where they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from octodon.data.genome import Genome
from octodon.errors import DataError
from octodon.seq.codes import N_CODE, encode, reverse_complement
from octodon.variants.read import Variants

SWAPPED, STRAND, AMBIGUOUS, NO_BASE, OTHER = (
    "the genome has the alternative (alleles swapped)",
    "the genome has the reference's complement (other strand)",
    "the genome has the alternative, which is the reference's complement (swapped or other strand)",
    "the genome has N",
    "the genome has another base (another build?)",
)
ADVICE = {
    SWAPPED: "exchange REF and ALT (bcftools norm --check-ref s)",
    STRAND: "bring the variants to the forward strand",
    AMBIGUOUS: "find out whether alleles or strands are exchanged",
    NO_BASE: "give a genome with bases there",
    OTHER: "give the FASTA of the build that the variants were called on, or lift them over",
}


@dataclass
class ReferenceCheck:
    """Reference alleles compared so far."""

    n_match: int = 0
    mismatches: Counter[str] = field(default_factory=Counter)

    @property
    def n_mismatch(self) -> int:
        """Alleles that differ from the genome."""
        return self.mismatches.total()

    @property
    def fraction(self) -> float:
        """Share of alleles that differ; 0 where none was compared."""
        n = self.n_match + self.n_mismatch
        return self.n_mismatch / n if n else 0.0

    def line(self) -> str:
        """Return the agreement in one line."""
        n = self.n_match + self.n_mismatch
        text = f"REF agrees with the FASTA for {self.n_match:,} of {n:,} alleles ({1 - self.fraction:.2%})"
        reasons = "; ".join(f"{count:,}: {reason}" for reason, count in self.mismatches.most_common())
        return f"{text}; {reasons}" if reasons else text

    def refuse_above(self, most: float, where: str) -> None:
        """Refuse variants of which a larger share than ``most`` disagrees with the genome.

        Raises
        ------
        DataError
            With the counts, and the advice for the commonest kind of disagreement.
        """
        if self.fraction > most:
            likely = self.mismatches.most_common(1)[0][0]
            raise DataError(
                f"{where}: {self.line()}; more than {most:.1%} differ (--max-ref-mismatch): {ADVICE[likely]}"
            )


def check_reference(variants: Variants, genome: Genome, check: ReferenceCheck) -> Bool[ndarray, " v"]:
    """Return whether each reference allele stands in the genome, and count into ``check``.

    The contigs are the genome's; an allele that runs over its contig's end does not stand there.
    """
    match = np.zeros(len(variants), dtype=bool)
    for contig, ref_bp, alt_bp, rows in groups(variants):
        starts = variants.starts[rows]
        inside = (starts >= 0) & (starts + ref_bp <= genome.lengths_bp[contig])
        check.mismatches[OTHER] += int(np.count_nonzero(~inside))
        rows, starts = rows[inside], starts[inside]
        if not len(rows):
            continue
        ref = encode(variants.refs[rows].tolist())
        found = genome.windows(contig, starts, ref_bp)
        match[rows] = (found == ref).all(axis=1)
        wrong = np.flatnonzero(~match[rows])
        if len(wrong):
            alt = encode(variants.alts[rows[wrong]].tolist())
            _diagnose(found[wrong], ref[wrong], alt if alt_bp == ref_bp else None, check.mismatches)
    check.n_match += int(np.count_nonzero(match))
    check.mismatches += Counter()  # drops zero counts
    return match


def _diagnose(found: ndarray, ref: ndarray, alt: ndarray | None, into: Counter[str]) -> None:
    swapped = np.zeros(len(found), dtype=bool) if alt is None else (found == alt).all(axis=1)
    strand = (found == reverse_complement(ref)).all(axis=1)
    unknown = (found == N_CODE).any(axis=1)
    into[AMBIGUOUS] += int(np.count_nonzero(swapped & strand))
    into[SWAPPED] += int(np.count_nonzero(swapped & ~strand))
    into[STRAND] += int(np.count_nonzero(strand & ~swapped))
    into[NO_BASE] += int(np.count_nonzero(unknown))
    into[OTHER] += int(np.count_nonzero(~(swapped | strand | unknown)))


def groups(variants: Variants) -> Iterator[tuple[str, int, int, ndarray]]:
    """Yield (contig, length of the reference allele, of the alternative, rows) so that each group is one array."""
    lengths = np.array([[*map(len, alleles)] for alleles in (variants.refs, variants.alts)], dtype=np.int64).T
    contigs, number = np.unique(variants.contigs.astype(np.str_), return_inverse=True)
    keys, group = np.unique(np.column_stack([number, lengths]), axis=0, return_inverse=True)
    for index, (contig, ref_bp, alt_bp) in enumerate(keys.tolist()):
        yield str(contigs[contig]), ref_bp, alt_bp, np.flatnonzero(group.ravel() == index)
