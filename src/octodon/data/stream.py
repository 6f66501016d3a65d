"""Sequences of a file of any size in chunks, for prediction: order kept, memory flat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray

from octodon.data._arrow import texts_of
from octodon.data._batches import TEXT
from octodon.data._files import existing_file, plain_suffix
from octodon.data.assemble import refuse_empty_ids, row_ids
from octodon.data.formats.fasta import FASTA_SUFFIXES, fasta_blocks
from octodon.data.formats.table import coded_batches
from octodon.data.lengths import LengthPolicy, PolicyName, as_policy
from octodon.errors import ConfigError

Chunk = tuple[ndarray, ndarray]


def stream_sequences(
    path: str | Path,
    *,
    sequence: str = "sequence",
    id: str | None = None,
    chunk: int = 8192,
    length: LengthPolicy | PolicyName = "refuse",
    delimiter: str | None = None,
) -> Iterator[Chunk]:
    """Yield (ids, codes) of a FASTA file (by suffix) or of a table, ``chunk`` sequences at a time, in file order.

    Parameters
    ----------
    path : path
        FASTA, TSV, CSV (gzipped or not) or Parquet.
    sequence, id : str
        Columns of a table; with ``id`` None the ids are "row1", "row2", ... In FASTA, ids are the first words.
    chunk : int
        Sequences per item; the last one may hold fewer.
    length : LengthPolicy or str
        What to do with sequences of different lengths.
    delimiter : str or None
        Separator of a table, where the file's name does not tell: one character, or "tab".

    Yields
    ------
    ids : (n,) array of str
        Not checked for repeats: that would take memory that grows with the file.
    codes : (n, l) uint8

    Raises
    ------
    DataError
        As ``read_table`` and ``read_fasta``, but for repeated ids; the file's first sequence sets the length for "refuse".
    ConfigError
        For a ``chunk`` below 1, a delimiter that is no single character.
    """
    if plain_suffix(existing_file(path)) in FASTA_SUFFIXES:
        yield from stream_fasta(path, chunk=chunk, length=length)
        return
    yield from _rechunk(_table_blocks(path, sequence, id, as_policy(length), delimiter), chunk)


def stream_fasta(
    path: str | Path, *, chunk: int = 8192, length: LengthPolicy | PolicyName = "refuse"
) -> Iterator[Chunk]:
    """Yield (ids, codes) of a FASTA file, ``chunk`` records at a time; see ``stream_sequences``."""
    blocks = ((texts_of([names]), codes) for names, codes in fasta_blocks(path, as_policy(length)))
    yield from _rechunk(blocks, chunk)


def _table_blocks(
    path: str | Path, sequence: str, id: str | None, policy: LengthPolicy, delimiter: str | None
) -> Iterator[Chunk]:
    types: dict[str, pa.DataType] = {sequence: TEXT}
    if id is not None:
        types[id] = TEXT
    n_rows = 0
    for batch, codes in coded_batches(path, sequence, types, policy, delimiter):
        if id is None:
            ids = row_ids(len(codes), first=n_rows + 1)
        else:
            ids = texts_of([batch.column(id)])
            refuse_empty_ids(ids, str(path), n_rows)
        n_rows += len(codes)
        yield ids, codes


def _rechunk(blocks: Iterator[Chunk], chunk: int) -> Iterator[Chunk]:
    """Yield items of exactly ``chunk`` rows (the last one may be shorter) from blocks of any size."""
    if chunk < 1:
        raise ConfigError(f"chunk: {chunk}, expected at least 1")
    held: list[Chunk] = []
    n_held = 0
    for ids, codes in blocks:
        start = 0
        while len(codes) - start >= chunk - n_held:
            stop = start + chunk - n_held
            yield _joined([*held, (ids[start:stop], codes[start:stop])])
            held, n_held, start = [], 0, stop
        if start < len(codes):
            held.append((ids[start:], codes[start:]))
            n_held += len(codes) - start
    if held:
        yield _joined(held)


def _joined(parts: list[Chunk]) -> Chunk:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([ids for ids, _ in parts]), np.concatenate([codes for _, codes in parts])
