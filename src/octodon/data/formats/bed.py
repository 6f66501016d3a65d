"""Intervals in BED with measured values, their sequences cut from a genome in FASTA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy import ndarray

from octodon.data._arrow import NO_VALUE
from octodon.data.assemble import Measurements, Missing, RepeatedIds, assemble, row_ids
from octodon.data.examples import Examples
from octodon.data.formats import readers
from octodon.data.formats.table import target_groups
from octodon.data.genome import Genome, open_genome
from octodon.data.intervals import Intervals, contigs_on, numbers_of, read_intervals
from octodon.data.split_names import named_splits
from octodon.errors import ConfigError, DataError
from octodon.registry import suggest
from octodon.seq.codes import reverse_complement
from octodon.seq.coordinates import centred_starts

LEAVES_CONTIG = "window leaves its contig"


@readers.register("bed")
def read_bed(
    path: str | Path,
    fasta: str | Path,
    *,
    targets: Mapping[str, str | Sequence[str]] | None = None,
    length_bp: int | None = None,
    outside: Literal["refuse", "drop"] = "refuse",
    id: str | None = None,
    split: str | None = None,
    columns: Sequence[str] = (),
    units: str = "activity",
    missing: Missing = "refuse",
    repeated_ids: RepeatedIds = "refuse",
) -> Examples:
    """Read the intervals of a BED file; their bases come from a FASTA, reverse-complemented on the strand "-".

    Columns are called chrom, start, end, name, score, strand, then column7, column8 ... (or as a line ``#chrom ...`` says).
    The chromosome is always kept, so that ``[split] by = "chromosome"`` works.

    Parameters
    ----------
    path : path
        BED with three columns or more, plain or gzipped; positions 0-based, half-open.
    fasta : path
        The genome: indexed, or small enough to be read whole (see ``octodon.data.genome.open_genome``).
    targets : mapping of str to str or list of str
        For each target one column, or its replicate columns. None or empty: unlabelled sequences.
    length_bp : int or None
        Length of windows that share their centre with the intervals, filled with what stands there in the genome.
        None: the intervals as they are, which must be of one length.
    outside : "refuse" or "drop"
        What to do with windows that leave their contig; dropped ones are counted.
    id, split : str or None
        Columns of identifiers (None: "row1", "row2", ...) and of split names.
    columns : sequence of str
        Further columns to keep, as text.
    units, missing, repeated_ids
        As for ``read_table``.

    Raises
    ------
    DataError
        For an unreadable file, a column or contig that is not there, intervals of several lengths, windows outside their
        contig, text in a target; as ``read_table`` for ids and targets.
    """
    groups = target_groups(targets or {})
    intervals = read_intervals(path)
    for name in [id, split, *columns, *(column for group in groups.values() for column in group)]:
        if name is not None and name not in intervals.columns:
            raise ConfigError(f"{path}: no column {name!r}; {suggest(name, list(intervals.columns))}")
    with open_genome(fasta) as genome:
        codes, inside = _cut(genome, intervals, length_bp, outside, str(path))
    # every target is read before rows go, so that a message names the row of the file
    values = tuple(
        np.stack([_numbers(path, intervals, c) for c in group], axis=1) for group in groups.values()
    )
    ids = row_ids(len(inside)) if id is None else intervals.columns[id]
    kept = {"chrom": intervals.contigs} | {name: intervals.columns[name] for name in columns}
    examples = assemble(
        codes,
        ids[inside],
        Measurements(names=tuple(groups), values=tuple(v[inside] for v in values), units=units),
        missing=missing,
        repeated_ids=repeated_ids,
        where=str(path),
        splits=None if split is None else named_splits(intervals.columns[split][inside]),
        columns={name: texts[inside] for name, texts in kept.items()},
    )
    n_outside = int(np.count_nonzero(~inside))
    return replace(
        examples, dropped={**examples.dropped, **({LEAVES_CONTIG: n_outside} if n_outside else {})}
    )


def _cut(
    genome: Genome, intervals: Intervals, length_bp: int | None, outside: str, where: str
) -> tuple[ndarray, ndarray]:
    """Return the codes of the windows inside their contigs, and a mask of those rows."""
    starts, length = _windows(intervals, length_bp, where)
    contigs, _ = contigs_on(genome, intervals.contigs, where)
    ends = np.array([genome.lengths_bp[name] for name in contigs.tolist()], dtype=np.int64)
    inside = (starts >= 0) & (starts + length <= ends)
    if outside == "refuse" and not inside.all():
        row = int(np.flatnonzero(~inside)[0])
        raise DataError(
            f"{where}: row {row + 1}: {contigs[row]}:{starts[row]}-{starts[row] + length} (0-based) leaves the contig of "
            f"{ends[row]:,} bp ({np.count_nonzero(~inside)} such rows); set outside = 'drop' to leave them out"
        )
    if not inside.any():
        raise DataError(
            f"{where}: no window of {length} bp lies inside its contig; give the genome of these intervals"
        )
    codes = np.empty((int(inside.sum()), length), dtype=np.uint8)
    starts, contigs, strands = starts[inside], contigs[inside], intervals.strands[inside]
    for name in dict.fromkeys(contigs.tolist()):
        rows = np.flatnonzero(contigs == name)
        codes[rows] = genome.windows(name, starts[rows], length)
    minus = np.flatnonzero(strands == "-")
    codes[minus] = reverse_complement(codes[minus])
    return codes, inside


def _windows(intervals: Intervals, length_bp: int | None, where: str) -> tuple[ndarray, int]:
    """Return starts and the one length of the windows."""
    if length_bp is not None:
        if length_bp < 1:
            raise ConfigError(f"length_bp: {length_bp}, expected at least 1")
        return centred_starts(intervals.starts, intervals.stops, length_bp), length_bp
    lengths = intervals.stops - intervals.starts
    if np.any(lengths != lengths[0]):
        row = int(np.flatnonzero(lengths != lengths[0])[0])
        raise DataError(
            f"{where}: row {row + 1} spans {lengths[row]} bp, row 1 {lengths[0]} bp; set length_bp to cut windows of one "
            f"length around the centres"
        )
    return intervals.starts, int(lengths[0])


def _numbers(path: str | Path, intervals: Intervals, column: str) -> ndarray:
    """Return a column as float64; a text that means "no value" is NaN, any other text is refused."""
    texts = intervals.columns[column]
    values = numbers_of(texts)
    wrong = np.flatnonzero(np.isnan(values) & ~np.isin(texts.astype(np.str_), NO_VALUE))
    if len(wrong):
        raise DataError(
            f"{path}: row {wrong[0] + 1}, column {column!r}: {texts[wrong[0]]!r} is no number; correct it, or name "
            f"another column"
        )
    return values
