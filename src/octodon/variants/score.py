"""Effects of all variants of a file, block by block: first every REF is checked, then everything is predicted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Bool, UInt8
from numpy import ndarray

from octodon.data._files import refuse_input
from octodon.data.genome import Genome
from octodon.data.intervals import renaming_note
from octodon.errors import ConfigError, DataError
from octodon.predict.predictor import Predictor
from octodon.registry import suggest
from octodon.seeds import derive_seed
from octodon.seq.codes import has_few_n
from octodon.seq.coordinates import match_contigs
from octodon.variants.effects import UNSURE, Effects, effects_of, knows_std, level_of
from octodon.variants.frame import OF_STD, effects_frame, variants_frame
from octodon.variants.null import Null, shuffled_null
from octodon.variants.pairs import Pairs, read_pairs
from octodon.variants.read import Variants, contig_lengths, read_variants
from octodon.variants.reference import ReferenceCheck, check_reference
from octodon.variants.windows import Edge, WindowOptions, allele_pairs, trimmed
from octodon.variants.write import check_suffix, effect_writer

NO_CONTIG = "contig not in the FASTA"
WRONG_REF = "REF differs from the FASTA"
NO_WINDOW = "window leaves its contig"
TOO_LONG = "allele longer than the model's window"
MANY_N = "more than 5% N around the variant"
_MOST_N = 0.05
Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class VariantOptions:
    """How variants are scored.

    Attributes
    ----------
    offsets_bp, edge
        As in ``WindowOptions``.
    both_strands : bool
        Average every window with its reverse complement.
    max_ref_mismatch : float
        Share of REF alleles (0 to 1) that may differ from the FASTA; they are left out and counted. Above, all is refused.
    null : int
        Random mutations behind the percentile, each in a shuffled sequence of its own; 0 = no percentile.
    level : float, optional
        Of the interval of the effect, by default 0.95; refused where the model has none.
    seed : int
        Of the null.
    device : str
    """

    offsets_bp: tuple[int, ...] = (0,)
    edge: Edge = "skip"
    both_strands: bool = False
    max_ref_mismatch: float = 0.01
    null: int = 1000
    level: float | None = None
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.level is not None and not 0 < self.level < 1:
            raise ConfigError(f"--level {self.level}: expected above 0 and below 1")
        if not 0 <= self.max_ref_mismatch <= 1:
            raise ConfigError(f"--max-ref-mismatch {self.max_ref_mismatch}: expected a fraction from 0 to 1")
        if self.null < 0:
            raise ConfigError(f"--null {self.null}: expected 0 or more")


@dataclass(frozen=True, kw_only=True)
class VariantReport:
    """What was done.

    Attributes
    ----------
    n_scored : int
        Alleles with an effect.
    skipped : mapping of str to int
        Alleles left out, by reason.
    notes : tuple of str
        Lines for the user.
    """

    n_scored: int
    skipped: Mapping[str, int]
    notes: tuple[str, ...]


def score_vcf(
    predictor: Predictor,
    vcf: Path,
    genome: Genome,
    out: Path,
    options: VariantOptions | None = None,
    *,
    on_variants: Callable[[int, int], None] | None = None,
) -> VariantReport:
    """Write the effect of every allele of a VCF or BCF, in its order; memory does not grow with the file.

    Parameters
    ----------
    out : path
        ``.tsv``, ``.csv``, ``.parquet``, ``.vcf`` or ``.vcf.gz``.
    on_variants : callable, optional
        Called with the number of alleles done and of all alleles.

    Raises
    ------
    ConfigError
        An option out of range or without meaning for the model, an output of another kind.
    DataError
        Unreadable or empty input, no contig in common, too many REF alleles that differ from the FASTA (with a diagnosis),
        no allele that can be scored.
    RunError
        The output cannot be written.
    """
    options = options or VariantOptions()
    suffix = check_suffix(out, coordinates=True)
    refuse_input(out, vcf)
    windows = WindowOptions(
        length_bp=predictor.model.length, offsets_bp=options.offsets_bp, edge=options.edge
    )
    level, unsure = _level(predictor, options)
    survey = _survey(vcf, genome, options)
    null = _null(predictor, survey.sample, genome, windows, options)
    skipped: Counter[str] = Counter()
    done = scored = 0
    with effect_writer(out, suffix, contig_lengths(vcf)) as write:
        for variants in read_variants(vcf, skipped):
            kept, effects = _score(predictor, variants, survey.names, genome, windows, options, skipped)
            done += len(variants)
            if effects is not None:
                scored += len(kept)
                frame = effects_frame(effects, predictor.target_names, null, level)
                write(pd.concat([variants_frame(kept), frame], axis=1))
            if on_variants is not None:
                on_variants(done, survey.n_alleles)
        if not scored:
            raise DataError(f"{vcf}: no variant could be scored: {_in_words(skipped)}")
    notes = [genome.note, renaming_note(survey.names), survey.check.line(), unsure]
    if options.null and null is None:
        notes.append(
            "no null_percentile: no variant has surroundings wide enough, with few N, to be shuffled"
        )
    return VariantReport(n_scored=scored, skipped=dict(skipped), notes=tuple(filter(None, notes)))


def score_pairs(
    predictor: Predictor,
    table: Path,
    out: Path,
    options: VariantOptions | None = None,
    *,
    ref: str = "ref",
    alt: str = "alt",
    id: str | None = None,
    on_variants: Callable[[int, int | None], None] | None = None,
) -> VariantReport:
    """Write the effect of every pair of sequences of a table with the columns ``ref`` and ``alt``, in its order.

    Raises
    ------
    ConfigError
        An option out of range or without meaning for sequences or the model, an output of another kind.
    DataError
        An unreadable table, a column that is not there, a letter that is no base, sequences of another length.
    RunError
        The output cannot be written.
    """
    options = options or VariantOptions()
    suffix = check_suffix(out, coordinates=False)
    refuse_input(out, table)
    if options.offsets_bp != (0,) or options.edge != "skip":
        raise ConfigError(
            "--offsets and --edge move windows on a genome; a table of sequences has none: leave them out"
        )
    level, unsure = _level(predictor, options)
    pairs = partial(read_pairs, table, ref, alt, id, predictor.model.length)
    null, done = _null_of_pairs(predictor, pairs(), options), 0
    with effect_writer(out, suffix) as write:
        for ids, refs, alts in pairs():
            effects = effects_of(
                predictor,
                refs[:, None],
                alts[:, None],
                both_strands=options.both_strands,
                device=options.device,
            )
            frame = effects_frame(effects, predictor.target_names, null, level)
            frame.insert(0, "id", ids)
            write(frame)
            done += len(ids)
            if on_variants is not None:
                on_variants(done, None)
    notes = [unsure]
    if options.null and null is None:
        notes.append("no null_percentile: no reference has a base to be shuffled")
    return VariantReport(n_scored=done, skipped={}, notes=tuple(filter(None, notes)))


def _level(predictor: Predictor, options: VariantOptions) -> tuple[float, str]:
    """Return the level of the interval, and a note on the columns that the model cannot give ("" if it gives all).

    Raises
    ------
    ConfigError
        For the level of an interval that there will not be.
    """
    knows = knows_std(predictor, options.device)
    level = level_of(options.level, knows, "--level")
    if knows:
        return level, ""
    note = f"no {', '.join(OF_STD)}: {UNSURE}; that takes several members without an epistemic std of their own, or a student with "
    return level, note + "distill.effects"


def _null_of_pairs(predictor: Predictor, pairs: Iterator[Pairs], options: VariantOptions) -> Null | None:
    """Return the null of a sample of the references; the table is read through for it."""
    if not options.null:
        return None
    sample = _Sample[ndarray](options.null, options.seed)
    for _, refs, _ in pairs:
        sample.add(len(refs), lambda row, refs=refs: refs[row].copy())
    return _shuffled(predictor, sample.rows(), (0,), options)


def _shuffled(
    predictor: Predictor, surroundings: list[ndarray], offsets_bp: tuple[int, ...], options: VariantOptions
) -> Null | None:
    if not surroundings:
        return None
    return shuffled_null(
        predictor,
        np.stack(surroundings),
        offsets_bp,
        count=options.null,
        seed=options.seed,
        both_strands=options.both_strands,
        device=options.device,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Survey:
    """What the first pass found: alleles, contig names, agreement of REF, a sample for the null."""

    n_alleles: int
    names: Mapping[str, str | None]
    check: ReferenceCheck
    sample: list[Variants]


def _survey(vcf: Path, genome: Genome, options: VariantOptions) -> _Survey:
    names: dict[str, str | None] = {}
    check, sample = ReferenceCheck(), _Sample[Variants](options.null, options.seed)
    n_alleles = 0
    for block in read_variants(vcf):
        n_alleles += len(block)
        placed = _placed(block, names, genome)
        if len(placed):
            right = placed.take(check_reference(placed, genome, check))
            sample.add(len(right), lambda row, right=right: right.take(np.array([row])))
    if names and all(found is None for found in names.values()):
        first = next(iter(names))
        raise DataError(
            f"{vcf}: none of its {len(names)} contigs is in {genome.path.name}, first {first!r}; "
            f"{suggest(first, list(genome.lengths_bp)[:20])}"
        )
    check.refuse_above(options.max_ref_mismatch, str(vcf))
    return _Survey(n_alleles=n_alleles, names=names, check=check, sample=sample.rows())


def _placed(block: Variants, names: dict[str, str | None], genome: Genome) -> Variants:
    """Return the variants on contigs of the genome, called by the genome's names; ``names`` learns new ones."""
    new = [name for name in dict.fromkeys(block.contigs.tolist()) if name not in names]
    names.update(match_contigs(new, genome.lengths_bp))
    found = np.array([names[name] for name in block.contigs.tolist()], dtype=object)
    here = np.array([name is not None for name in found.tolist()], dtype=bool)
    kept = block.take(here)
    return Variants(contigs=found[here], starts=kept.starts, ids=kept.ids, refs=kept.refs, alts=kept.alts)


class _Sample(Generic[Row]):
    """A uniform sample of at most ``most`` rows of a stream: those with the smallest random keys."""

    def __init__(self, most: int, seed: int) -> None:
        self._most = most
        self._rng = np.random.default_rng(derive_seed(seed, "null", "sample"))
        self._kept: list[tuple[float, Row]] = []

    def add(self, n: int, row_of: Callable[[int], Row]) -> None:
        """Offer a block of ``n`` rows."""
        keys = self._rng.random(n)
        chosen = np.argsort(keys)[: self._most]
        if self._kept and len(self._kept) == self._most:  # what cannot enter is not looked at one by one
            chosen = chosen[keys[chosen] < self._kept[-1][0]]
        self._kept += [(float(keys[row]), row_of(row)) for row in chosen.tolist()]
        self._kept = sorted(self._kept, key=lambda pair: pair[0])[: self._most]

    def rows(self) -> list[Row]:
        """Return the sample."""
        return [row for _, row in self._kept]


def _null(
    predictor: Predictor,
    sample: list[Variants],
    genome: Genome,
    windows: WindowOptions,
    options: VariantOptions,
) -> Null | None:
    """Return the null of the surroundings of a sample of the variants, wide enough for every offset."""
    if not options.null:
        return None
    spread = max(windows.offsets_bp) - min(windows.offsets_bp)
    wide = WindowOptions(length_bp=windows.length_bp + spread, edge="shift")
    found: list[ndarray] = []
    for variant in sample:
        pairs = allele_pairs(variant, genome, wide)
        found += [pairs.ref[0, 0]] if pairs.fits[0] and has_few_n(pairs.ref[0], _MOST_N)[0] else []
    return _shuffled(predictor, found, windows.offsets_bp, options)


def _score(
    predictor: Predictor,
    block: Variants,
    names: Mapping[str, str | None],
    genome: Genome,
    windows: WindowOptions,
    options: VariantOptions,
    skipped: Counter[str],
) -> tuple[Variants, Effects | None]:
    """Return the variants of a block that can be scored, called as in the file, and their effects (None without any)."""
    here = np.array([names[name] is not None for name in block.contigs.tolist()], dtype=bool)
    given = block.take(here)
    placed = _placed(given, dict(names), genome)
    match = check_reference(placed, genome, ReferenceCheck())
    given, placed = given.take(match), placed.take(match)
    cut = trimmed(placed)
    pairs = allele_pairs(cut, genome, windows)
    longest = np.array([max(len(ref), len(alt)) for ref, alt in zip(cut.refs, cut.alts, strict=True)])
    too_long = longest > windows.length_bp
    # around a deletion the alternative's windows reach further than the reference's
    few_n = _few_n(pairs.ref) & _few_n(pairs.alt)
    rows = np.flatnonzero(pairs.fits & few_n)
    counts = {
        NO_CONTIG: int((~here).sum()),
        WRONG_REF: int((~match).sum()),
        TOO_LONG: int(too_long.sum()),
        NO_WINDOW: int((~pairs.fits & ~too_long).sum()),
        MANY_N: int((pairs.fits & ~few_n).sum()),
    }
    skipped.update({reason: count for reason, count in counts.items() if count})
    if not len(rows):
        return given.take(rows), None
    effects = effects_of(
        predictor, pairs.ref[rows], pairs.alt[rows], both_strands=options.both_strands, device=options.device
    )
    return given.take(rows), effects


def _few_n(windows: UInt8[ndarray, "v o l"]) -> Bool[ndarray, " v"]:
    return has_few_n(np.concatenate(list(windows.swapaxes(0, 1)), axis=1), _MOST_N)


def _in_words(skipped: Mapping[str, int]) -> str:
    return "; ".join(f"{count:,}: {reason}" for reason, count in skipped.items()) or "there is none"
