"""Intervals in BED: 0-based half-open, with name, score, strand and any further column."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy import ndarray

from octodon.data._files import existing_file, one_line, open_binary
from octodon.data.genome import Genome
from octodon.errors import DataError
from octodon.registry import suggest
from octodon.seq.coordinates import match_contigs

BED_COLUMNS = ("chrom", "start", "end", "name", "score", "strand")
"""What the first six columns of BED are called; those after them are "column7", "column8" ... without a header."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Intervals:
    """Rows of a BED file, in its order.

    Attributes
    ----------
    contigs : (n,) array of str
    starts, stops : (n,) int64 arrays
        0-based, half-open.
    strands : (n,) array of str
        "+" or "-"; "+" where the file says "." or has no sixth column.
    columns : mapping of str to (n,) array of str
        Every column by name, as text.
    """

    contigs: ndarray
    starts: ndarray
    stops: ndarray
    strands: ndarray
    columns: Mapping[str, ndarray]


def read_intervals(path: str | Path) -> Intervals:
    """Read a BED file, plain or gzipped.

    Lines before the first interval that start with "track", "browser" or "#" are skipped; a last one that starts with
    "#chrom" (or "#chr") names the columns.

    Raises
    ------
    DataError
        A missing, empty or damaged file, fewer than three columns, two of one name, a coordinate that is no whole number,
        an interval that is empty or reversed, a strand other than "+", "-" and ".". Rows are counted from 1 below the header.
    """
    file = existing_file(path)
    skipped, names = _header(file)
    try:
        with open_binary(file) as stream:
            table = pd.read_csv(
                stream,
                sep="\t",
                header=None,
                skiprows=skipped,
                dtype=str,
                keep_default_na=False,
                na_filter=False,
                quoting=csv.QUOTE_NONE,  # a name may begin with a quotation mark (5", 3"), which BED gives no meaning
            )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file}: cannot be read as BED: {one_line(error)}; expected tab-separated columns"
        ) from None
    if table.shape[1] < 3:
        raise DataError(
            f"{file}: {table.shape[1]} columns, expected at least 3 (chrom, start, end), tab-separated"
        )
    labels = [_column_name(number, names) for number in range(table.shape[1])]
    repeated = [label for label in labels if labels.count(label) > 1]
    if repeated:  # by name, the later one would take the place of the first, even of the coordinates
        raise DataError(
            f"{file}: {labels.count(repeated[0])} columns are called {repeated[0]!r}, expected one (the first six are "
            f"{', '.join(BED_COLUMNS)}); rename the later one in the line '#chrom ...'"
        )
    columns = {label: table[number].to_numpy(dtype=object) for number, label in enumerate(labels)}
    starts, stops = (_coordinates(file, columns, number) for number in (1, 2))
    wrong = np.flatnonzero((starts < 0) | (stops <= starts))
    if len(wrong):
        raise DataError(
            f"{file}: row {wrong[0] + 1}: interval {starts[wrong[0]]}-{stops[wrong[0]]} ({len(wrong)} such rows); "
            f"expected 0 <= start < end"
        )
    return Intervals(
        contigs=table[0].to_numpy(dtype=object),
        starts=starts,
        stops=stops,
        strands=_strands(file, table[5].to_numpy(dtype=object) if table.shape[1] > 5 else None, len(table)),
        columns=columns,
    )


def contigs_on(genome: Genome, contigs: ndarray, where: str) -> tuple[ndarray, str]:
    """Return the genome's names of contigs, row by row, and a line about those spelt differently ("" if none).

    Raises
    ------
    DataError
        For a contig that the genome does not have.
    """
    names = match_contigs(dict.fromkeys(contigs.tolist()), genome.lengths_bp)
    absent = [name for name, found in names.items() if found is None]
    if absent:
        raise DataError(
            f"{where}: {len(absent)} of {len(names)} contigs are not in {genome.path.name}, first {absent[0]!r}; "
            f"{suggest(absent[0], list(genome.lengths_bp)[:20])}"
        )
    return np.array([names[name] for name in contigs.tolist()], dtype=object), renaming_note(names)


def numbers_of(texts: ndarray) -> ndarray:
    """Return a column of texts as float64; NaN where a text is no number."""
    return np.asarray(pd.to_numeric(pd.Series(texts), errors="coerce"), dtype=np.float64)


def are_positions(values: ndarray) -> ndarray:
    """Return which numbers are whole, from 0 on, and no larger than float64 counts by ones."""
    return (np.mod(values, 1) == 0) & (values >= 0) & (values < 2**53)


def renaming_note(names: Mapping[str, str | None]) -> str:
    """Return "contig names reconciled: 'chr1' is '1' ..." for names that differ; "" if none does."""
    changed = [(name, found) for name, found in names.items() if found not in (None, name)]
    if not changed:
        return ""
    name, found = changed[0]
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"contig names reconciled: {name!r} is {found!r} in the FASTA{more}"


def _header(file: Path) -> tuple[int, list[str]]:
    """Return how many lines come before the first interval, and the column names that the last of them gives."""
    skipped, names = 0, []
    with open_binary(file) as stream:
        for line in stream:
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if text.strip() and not text.startswith(("track", "browser", "#")):
                break
            names = text[1:].split("\t") if text.startswith("#chr") else []
            skipped += 1
        else:
            raise DataError(f"{file}: no intervals, expected at least one line of chrom, start, end")
    return skipped, names


def _column_name(number: int, names: list[str]) -> str:
    if number < len(BED_COLUMNS):
        return BED_COLUMNS[number]
    return names[number] if number < len(names) else f"column{number + 1}"


def _coordinates(file: Path, columns: Mapping[str, ndarray], number: int) -> ndarray:
    name = BED_COLUMNS[number]
    values = numbers_of(columns[name])
    wrong = np.flatnonzero(~are_positions(np.abs(values)))
    if len(wrong):
        raise DataError(
            f"{file}: row {wrong[0] + 1}, column {name!r}: {columns[name][wrong[0]]!r} is no whole number; expected "
            f"tab-separated chrom, start, end"
        )
    return np.asarray(values, dtype=np.int64)


def _strands(file: Path, given: ndarray | None, n: int) -> ndarray:
    if given is None:
        return np.full(n, "+", dtype=object)
    wrong = np.flatnonzero(~np.isin(given.astype(np.str_), ["+", "-", "."]))
    if len(wrong):
        raise DataError(
            f"{file}: row {wrong[0] + 1}: strand {given[wrong[0]]!r} in column 6; expected '+', '-' or '.'"
        )
    return np.where(given == "-", "-", "+").astype(object)
