"""VCF and BCF as a stream of single alternative alleles; what cannot be scored is counted by reason."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from jaxtyping import Int64
from numpy import ndarray

from octodon.data._files import existing_file, one_line, open_binary, reading
from octodon.data.intervals import are_positions, numbers_of
from octodon.errors import DataError

BLOCK = 4096
"""Records at once."""
SYMBOLIC = "symbolic, missing or breakend allele"
NOT_BASES = "letters other than A, C, G, T in an allele"
SAME = "alternative equal to the reference"
_BASES = r"[ACGT]+"
_FIXED = ("CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
_COLUMNS = ["contig", "pos", "id", "ref", "alt"]
_READ = len(_COLUMNS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Variants:
    """Single alternative alleles, in the order of the file.

    Attributes
    ----------
    contigs, ids, refs, alts : (v,) arrays of str
        Alleles in upper case.
    starts : (v,) int64 array
        Of the first base of the reference allele, 0-based.
    """

    contigs: ndarray
    starts: Int64[ndarray, " v"]
    ids: ndarray
    refs: ndarray
    alts: ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: ndarray) -> Variants:
        """Return the rows chosen by an index or a mask."""
        return Variants(
            contigs=self.contigs[rows],
            starts=self.starts[rows],
            ids=self.ids[rows],
            refs=self.refs[rows],
            alts=self.alts[rows],
        )


def read_variants(path: str | Path, skipped: Counter[str] | None = None) -> Iterator[Variants]:
    """Yield blocks of variants of a VCF (plain, gzip, bgzip) or a BCF; records with several alternatives are split.

    Parameters
    ----------
    skipped : Counter, optional
        Receives the number of alleles left out, by reason.

    Raises
    ------
    DataError
        A missing, damaged or empty file, one that is no VCF, a record that is cut off, a position that is no whole number.
    """
    file = existing_file(path)
    skipped = Counter() if skipped is None else skipped
    n_records = 0
    for table in _bcf_tables(file) if _is_bcf(file) else _vcf_tables(file):
        starts = _starts(file, table["pos"].to_numpy(dtype=object), n_records)
        n_records += len(table)
        block = _usable(table.assign(start=starts), skipped)
        if len(block):
            yield block
    if n_records == 0:
        raise DataError(f"{file}: no variants, expected at least one record below the header")


def contig_lengths(path: str | Path) -> list[str]:
    """Return the ``##contig`` lines of a VCF or a BCF, to be copied into another."""
    file = existing_file(path)
    if _is_bcf(file):
        with _bcf(file) as records:
            lines = str(records.header).splitlines()
    else:
        with open_binary(file) as stream:
            lines = _header(file, stream)
    return [line for line in lines if line.startswith("##contig")]


def _is_bcf(file: Path) -> bool:
    with open_binary(file) as stream:
        return stream.read(3) == b"BCF"


def _header(file: Path, stream: Any) -> list[str]:
    """Return the header lines, the stream then standing at the first record."""
    lines: list[str] = []
    while line := stream.readline():
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        lines.append(text)
        if text.startswith("#CHROM"):
            return lines
        if not text.startswith("##"):
            break
    raise DataError(f"{file}: no line '#CHROM POS ID REF ALT ...' after the header; expected VCF or BCF")


def _vcf_tables(file: Path) -> Iterator[pd.DataFrame]:
    with open_binary(file) as stream:
        named = _header(file, stream)[-1].split("\t")
        n_columns = min(max(len(named), _READ), len(_FIXED))
        first = stream.readline()
        if not first:
            return
        if first.strip() and first.count(b"\t") + 1 < n_columns:  # which the parser has a riddle for
            raise _cut_off(file, 1, n_columns)
        yield from _parsed(file, _After(first, stream), n_columns)


def _parsed(file: Path, stream: Any, n_columns: int) -> Iterator[pd.DataFrame]:
    behind = sorted({min(_READ, n_columns - 1), n_columns - 1})
    read = sorted({*range(_READ), *behind})
    n_before = 0
    try:
        with pd.read_csv(
            stream,
            sep="\t",
            header=None,
            usecols=read,
            names=read,  # as many as are read: any number of samples may follow
            dtype=str,
            na_filter=False,
            quoting=csv.QUOTE_NONE,
            chunksize=BLOCK,
        ) as tables:
            for table in tables:
                # the parser fills what a record lacks with empty text, so that a half allele would pass for a whole one; an
                # empty INFO alone, behind a QUAL, is no such record
                short = np.flatnonzero((table[behind] == "").all(axis=1))
                if len(short):
                    raise _cut_off(file, n_before + int(short[0]) + 1, n_columns)
                n_before += len(table)
                yield table[[*range(_READ)]].set_axis(_COLUMNS, axis=1)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
        raise DataError(
            f"{file}: cannot be read as VCF: {one_line(error)}; records have tab-separated columns"
        ) from None


def _cut_off(file: Path, record: int, n_columns: int) -> DataError:
    return DataError(
        f"{file}: record {record} ends before its column {_FIXED[n_columns - 1]}, expected {n_columns} tab-separated columns, as "
        f"in #CHROM; the file is cut off or damaged: copy it again"
    )


class _After:
    """A stream with its first line put back: the parser refuses an empty rest, which is asked for here first."""

    def __init__(self, first: bytes, stream: IO[bytes] | Any) -> None:
        self._first, self._stream = first, stream

    def read(self, size: int = -1) -> bytes:
        first, self._first = self._first, b""
        return first or self._stream.read(size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)


def _bcf_tables(file: Path) -> Iterator[pd.DataFrame]:
    rows: list[tuple[str, int, str, str, str]] = []
    with _bcf(file) as records:
        for r in records:
            rows.append((r.contig, r.pos, r.id or ".", r.ref or "", ",".join(r.alts or ["."])))
            if len(rows) == BLOCK:
                yield _table(rows)
                rows = []
    if rows:
        yield _table(rows)


@contextmanager
def _bcf(file: Path) -> Iterator[Any]:
    """Open a BCF; what goes wrong in it is one DataError."""
    import pysam  # loaded only where it is needed

    pysam.set_verbosity(0)
    try:
        with reading(file), pysam.VariantFile(str(file)) as records:
            yield records
    except ValueError as error:
        raise DataError(f"{file}: cannot be read as BCF: {one_line(error)}; write it again") from None


def _table(rows: list[tuple[str, int, str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=_COLUMNS)


def _starts(file: Path, positions: ndarray, n_before: int) -> ndarray:
    values = numbers_of(positions)
    wrong = np.flatnonzero(~are_positions(values))
    if len(wrong):
        raise DataError(
            f"{file}: record {n_before + wrong[0] + 1}: position {positions[wrong[0]]!r} is no whole number from 0 on"
        )
    return np.asarray(values, dtype=np.int64) - 1


def _usable(table: pd.DataFrame, skipped: Counter[str]) -> Variants:
    """Return one row per alternative allele that is made of bases."""
    table = table.assign(alt=table["alt"].str.split(",")).explode("alt")
    ref, alt = table["ref"].str.upper(), table["alt"].str.upper()
    symbolic = alt.str.contains(r"[<>\[\]*]", regex=True) | alt.isin([".", ""])
    bases = ref.str.fullmatch(_BASES) & alt.str.fullmatch(_BASES)
    reasons = {SYMBOLIC: symbolic, NOT_BASES: ~symbolic & ~bases, SAME: bases & (ref == alt)}
    for reason, found in reasons.items():
        if found.any():
            skipped[reason] += int(found.sum())
    kept = np.asarray(bases & ~symbolic & (ref != alt), dtype=bool)
    everything = Variants(
        contigs=table["contig"].to_numpy(dtype=object),
        starts=table["start"].to_numpy(),
        ids=table["id"].to_numpy(dtype=object),
        refs=ref.to_numpy(dtype=object),
        alts=alt.to_numpy(dtype=object),
    )
    return everything.take(kept)
