"""Barcode counts to activity: one row a barcode, DNA and RNA counts per replicate.

The estimators, with c the counts of the barcodes that are used (both counts present and at the minimum or above), D and
R their DNA and RNA counts plus ``pseudocount``, and the totals over all barcodes used in the replicate:

- activity ("sum", the default) = log2( (sum R / total R) / (sum D / total D) ): ratio of the counts per million, summed
  over the element's barcodes. This is MPRAsnakeflow's default and reproduces its published tables. Its standard error
  is that of a ratio of sums over n barcodes (linearised; Cochran 1977, section 6.4, without the finite-population
  factor): with q = sum R / sum D, sqrt( n / (n - 1) * sum (R - q D)^2 ) / (sum R * ln 2).
- activity ("mean_log") = mean over barcodes of log2( (R / total R) / (D / total D) ); its standard error is the sample
  standard deviation over barcodes (``correction=1``) divided by sqrt(n).

Both standard errors are unknown (NaN) for one barcode, and take barcodes as independent draws. They say how well ONE
replicate is known from its barcodes: what differs between replicates beyond it is not in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray

from octodon.data._arrow import compute
from octodon.data._batches import NUMBER, TEXT, column_names, table_batches
from octodon.data._files import plain_suffix
from octodon.data.assemble import Measurements, assemble
from octodon.data.examples import Examples
from octodon.data.formats import readers
from octodon.data.formats.fasta import FASTA_SUFFIXES, read_fasta
from octodon.data.formats.table import read_table
from octodon.data.lengths import LengthPolicy, PolicyName
from octodon.errors import ConfigError, DataError
from octodon.registry import suggest

Aggregate = Literal["sum", "mean_log"]
Normalise = Literal["cpm", "none"]
UNITS = "log2(RNA/DNA)"
TOO_FEW = "elements without enough barcodes"
UNKNOWN_ELEMENT = "barcodes of unknown elements"
BELOW_COUNTS = "barcode counts below the minimum"


@dataclass(frozen=True, kw_only=True)
class CountOptions:
    """How counts become activity; see the head of this file for the formulas.

    Attributes
    ----------
    min_dna_count, min_rna_count : int
        A barcode counts in a replicate where both its counts reach these; an empty count is 0.
    min_barcodes : int
        An element has a value in a replicate from this many barcodes on.
    pseudocount : float
        Added to both counts of every barcode that is used.
    normalise : str
        "cpm": by the total of the barcodes used, per replicate; "none": counts as they are.
    aggregate : str
        "sum" or "mean_log".
    """

    min_dna_count: int = 1
    min_rna_count: int = 1
    min_barcodes: int = 1
    pseudocount: float = 0.0
    normalise: Normalise = "cpm"
    aggregate: Aggregate = "sum"

    def __post_init__(self) -> None:
        if self.min_dna_count < 0 or self.min_rna_count < 0 or self.pseudocount < 0:
            raise ConfigError("min_dna_count, min_rna_count and pseudocount must be 0 or more")
        if self.min_barcodes < 1:
            raise ConfigError(f"min_barcodes: {self.min_barcodes}, expected at least 1")
        if self.pseudocount == 0 and min(self.min_dna_count, self.min_rna_count) == 0:
            raise ConfigError(
                "pseudocount: 0 with a minimum count of 0 would take the logarithm of 0; set pseudocount = 1, or "
                "both minimum counts to at least 1"
            )
        if self.normalise not in ("cpm", "none") or self.aggregate not in ("sum", "mean_log"):
            raise ConfigError(
                f"normalise: {self.normalise!r}, expected 'cpm' or 'none'; aggregate: {self.aggregate!r}, expected "
                f"'sum' or 'mean_log'"
            )


@readers.register("barcodes")
def read_barcodes(
    path: str | Path,
    *,
    sequences: str | Path,
    dna: Sequence[str],
    rna: Sequence[str],
    element: str = "element",
    barcode: str | None = "barcode",
    sequence: str = "sequence",
    id: str | None = None,
    split: str | None = None,
    columns: Sequence[str] = (),
    target: str = "activity",
    unknown_elements: Literal["refuse", "drop"] = "refuse",
    min_dna_count: int = 1,
    min_rna_count: int = 1,
    min_barcodes: int = 1,
    pseudocount: float = 0.0,
    normalise: Normalise = "cpm",
    aggregate: Aggregate = "sum",
    length: LengthPolicy | PolicyName = "refuse",
) -> Examples:
    """Read barcode counts as log2 activity per element and replicate, with standard error and number of barcodes.

    Parameters
    ----------
    path : path
        Table with one row a barcode: element, and for each replicate a DNA and an RNA count (empty = not seen, 0).
    sequences : path
        Table (or FASTA) of the elements; its order is the order of the examples.
    dna, rna : list of str
        Columns of counts, replicate by replicate; two lists of one length.
    element, barcode : str
        Columns of ``path``. A barcode that occurs twice is refused (it would be ambiguous); ``barcode`` None or "": there
        is none, and nothing is checked.
    sequence, id, split, columns
        Columns of ``sequences``, as in ``read_table``; ``id`` (default: the column named as ``element``) joins the two.
    target : str
        Name of the one target.
    unknown_elements : str
        Barcodes whose element has no sequence: "refuse", or "drop" (counted; they do not enter the totals).
    min_dna_count, min_rna_count, min_barcodes, pseudocount, normalise, aggregate
        See ``CountOptions``. The defaults (1, 1, 1, 0, "cpm", "sum") are those of MPRAsnakeflow.
    length : LengthPolicy or str
        As in ``read_table``.

    Returns
    -------
    examples : Examples
        ``replicates``, ``replicate_se``, ``n_barcodes`` are (n, 1, r); the target is the mean over replicates. Elements
        without a value in any replicate are left out and counted in ``dropped``, as are counts below the minimum.

    Raises
    ------
    DataError
        For negative or infinite counts, repeated barcodes, unknown elements, and what ``read_table`` refuses.
    """
    options = CountOptions(
        min_dna_count=min_dna_count,
        min_rna_count=min_rna_count,
        min_barcodes=min_barcodes,
        pseudocount=pseudocount,
        normalise=normalise,
        aggregate=aggregate,
    )
    if not dna or len(dna) != len(rna) or len({*dna, *rna}) != 2 * len(dna):
        raise ConfigError(
            f"dna, rna: {len(dna)} and {len(rna)} columns; expected one of each per replicate, all different"
        )
    barcode = barcode or None  # TOML has no null
    elements = _elements(sequences, sequence, id or element, split, columns, length)
    counted = _read_counts(path, element, barcode, dna, rna)
    rows, dropped = _join(counted, elements.ids, path, sequences, unknown_elements)
    known = rows >= 0
    measured, n_low = _measure(rows[known], counted.dna[known], counted.rna[known], len(elements), options)
    if n_low:
        dropped[BELOW_COUNTS] = n_low
    examples = _with_activity(elements, measured, target, str(path))
    if examples.dropped:
        dropped[TOO_FEW] = sum(examples.dropped.values())
    return replace(examples, dropped=dropped)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Counted:
    """A barcode table: element of each barcode, counts (b, r)."""

    elements: pa.ChunkedArray
    dna: Float[ndarray, "b r"]
    rna: Float[ndarray, "b r"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Activity:
    """Activity of each element in each replicate, (n, r): log2 value, its standard error, number of barcodes."""

    log2: Float[ndarray, "n r"]
    se: Float[ndarray, "n r"]
    n_barcodes: Float[ndarray, "n r"]


def _elements(
    sequences: str | Path,
    sequence: str,
    id: str,
    split: str | None,
    columns: Sequence[str],
    length: LengthPolicy | PolicyName,
) -> Examples:
    if plain_suffix(sequences) in FASTA_SUFFIXES:
        if split is not None or columns:
            raise ConfigError("split, columns: a FASTA file has no columns; give the elements as a table")
        return read_fasta(sequences, length=length)
    return read_table(sequences, sequence=sequence, id=id, split=split, columns=columns, length=length)


def _read_counts(
    path: str | Path, element: str, barcode: str | None, dna: Sequence[str], rna: Sequence[str]
) -> _Counted:
    types: dict[str, pa.DataType] = {element: TEXT} | dict.fromkeys([*dna, *rna], NUMBER)
    if barcode is not None:
        if barcode not in (present := column_names(path)):
            raise DataError(
                f"{path}: no column {barcode!r} of barcodes; {suggest(barcode, present)}; name it, or set barcode = '' where there "
                f"is none"
            )
        types[barcode] = TEXT
    names: list[pa.Array] = []
    barcodes: list[pa.Array] = []
    counts: list[ndarray] = []
    n_rows = 0
    for batch in table_batches(path, types):
        block = np.stack([batch.column(c).to_numpy(zero_copy_only=False) for c in (*dna, *rna)], axis=1)
        # An empty count means that the barcode was not seen in that replicate.
        block = np.where(np.isnan(block), 0.0, block)
        bad = (block < 0) | np.isinf(block)
        if bad.any():
            row, column = (int(i[0]) for i in np.nonzero(bad))
            raise DataError(
                f"{path}: row {n_rows + row + 1}, column {(*dna, *rna)[column]!r}: {block[row, column]:g} is no count; "
                f"expected 0 or more"
            )
        n_rows += len(block)
        counts.append(block)
        names.append(batch.column(element))
        if barcode is not None:
            barcodes.append(batch.column(barcode))
    if barcodes:
        _refuse_repeated(pa.chunked_array(barcodes), path)
    both = np.concatenate(counts)
    return _Counted(elements=pa.chunked_array(names), dna=both[:, : len(dna)], rna=both[:, len(dna) :])


def _refuse_repeated(barcodes: pa.ChunkedArray, path: str | Path) -> None:
    counts = compute.value_counts(barcodes)
    repeated = counts.filter(compute.greater(counts.field("counts"), 1))
    if len(repeated):
        raise DataError(
            f"{path}: {len(repeated)} barcodes occur more than once (first: {repeated[0]['values'].as_py()!r}); a "
            f"barcode belongs to one row, remove them or set barcode = ''"
        )


def _join(
    counted: _Counted,
    ids: ndarray,
    path: str | Path,
    sequences: str | Path,
    unknown_elements: Literal["refuse", "drop"],
) -> tuple[Int[ndarray, " b"], dict[str, int]]:
    """Return the element's row of each barcode (-1 = unknown, where that is allowed), and what was left out."""
    found = compute.index_in(counted.elements, value_set=pa.array(ids.tolist(), TEXT))
    rows = compute.fill_null(found, -1).to_numpy().astype(np.int64)
    unknown = np.flatnonzero(rows < 0)
    if len(unknown) and unknown_elements == "refuse":
        first = counted.elements[int(unknown[0])].as_py()
        raise DataError(
            f"{path}: {len(unknown)} of {len(rows)} barcodes belong to an element without a sequence in {sequences} "
            f"(first: row {unknown[0] + 1}, {first!r}); set unknown_elements = 'drop' to leave them out"
        )
    if len(unknown) == len(rows):
        raise DataError(
            f"{path}: no barcode belongs to an element of {sequences}; check the columns element and id"
        )
    return rows, ({UNKNOWN_ELEMENT: len(unknown)} if len(unknown) else {})


def _measure(
    rows: Int[ndarray, " b"],
    dna: Float[ndarray, "b r"],
    rna: Float[ndarray, "b r"],
    n_elements: int,
    options: CountOptions,
) -> tuple[Activity, int]:
    """Return the activity per replicate, and how many counts (seen in DNA or RNA) fell below the minimum."""
    per_replicate: list[tuple[ndarray, ndarray, ndarray]] = []
    n_low = 0
    for d, r in zip(dna.T, rna.T, strict=True):
        used = (d >= options.min_dna_count) & (r >= options.min_rna_count) & ((d > 0) | (r > 0))
        n_low += int((((d > 0) | (r > 0)) & ~used).sum())
        extra = options.pseudocount
        per_replicate.append(activity(rows[used], d[used] + extra, r[used] + extra, n_elements, options))
    log2, se, n = (np.stack(values, axis=1) for values in zip(*per_replicate, strict=True))
    return Activity(log2=log2, se=se, n_barcodes=n), n_low


def activity(
    rows: Int[ndarray, " b"],
    dna: Float[ndarray, " b"],
    rna: Float[ndarray, " b"],
    n_elements: int,
    options: CountOptions,
) -> tuple[ndarray, ndarray, ndarray]:
    """Return log2 activity, its standard error and the number of barcodes of each element, for one replicate.

    Parameters
    ----------
    rows : (b,) int
        Element (0 to ``n_elements`` - 1) of each barcode.
    dna, rna : (b,)
        Counts of the barcodes that are used, pseudocount included; both above 0.
    n_elements : int
    options : CountOptions
        ``min_barcodes``, ``normalise`` and ``aggregate`` are used.

    Returns
    -------
    log2, se, n : (n_elements,) arrays
        NaN where an element has fewer barcodes than ``min_barcodes`` (log2, se) or one (se).
    """

    def per_element(values: ndarray) -> ndarray:
        return np.bincount(rows, weights=values, minlength=n_elements)

    n = np.bincount(rows, minlength=n_elements).astype(np.float64)
    depth = np.log2(rna.sum() / dna.sum()) if options.normalise == "cpm" and len(rows) else 0.0
    enough = n >= options.min_barcodes
    # Elements without barcodes give 0 / 0 on the way to NaN.
    with np.errstate(divide="ignore", invalid="ignore"):
        if options.aggregate == "sum":
            total_dna, total_rna = per_element(dna), per_element(rna)
            ratio = total_rna / total_dna
            log2 = np.log2(ratio)
            residual = per_element(np.square(rna - ratio[rows] * dna))
            se = np.sqrt(n / (n - 1) * residual) / (total_rna * np.log(2))
        else:
            logs = np.log2(rna / dna)
            log2 = per_element(logs) / n
            se = np.sqrt(per_element(np.square(logs - log2[rows])) / (n - 1) / n)
    return np.where(enough, log2 - depth, np.nan), np.where(enough & (n > 1), se, np.nan), n


def _with_activity(elements: Examples, measured: Activity, target: str, where: str) -> Examples:
    if not np.isfinite(measured.log2).any():
        raise DataError(f"{where}: no element reaches the minimum counts and barcodes; lower them")
    return assemble(
        elements.codes,
        elements.ids,
        Measurements(
            names=(target,),
            values=(measured.log2,),
            units=UNITS,
            replicate_se=measured.se[:, None, :].astype(np.float32),
            n_barcodes=measured.n_barcodes[:, None, :].astype(np.float32),
        ),
        missing="mask",
        where=where,
        splits=elements.splits,
        columns=elements.columns,
    )
