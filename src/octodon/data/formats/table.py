"""Tables with one row a sequence: TSV, CSV (gzipped or not), Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray

from octodon.data._arrow import Coder, texts_of, values_of
from octodon.data._batches import NUMBER, TEXT, table_batches
from octodon.data.assemble import (
    Measurements,
    Missing,
    RepeatedIds,
    assemble,
    row_ids,
)
from octodon.data.examples import Examples
from octodon.data.formats import readers
from octodon.data.lengths import LengthPolicy, PolicyName, as_policy
from octodon.data.split_names import named_splits
from octodon.errors import ConfigError


@readers.register("table")
def read_table(
    path: str | Path,
    *,
    sequence: str = "sequence",
    targets: Mapping[str, str | Sequence[str]] | None = None,
    id: str | None = None,
    split: str | None = None,
    columns: Sequence[str] = (),
    units: str = "activity",
    missing: Missing = "refuse",
    repeated_ids: RepeatedIds = "refuse",
    length: LengthPolicy | PolicyName = "refuse",
    delimiter: str | None = None,
) -> Examples:
    """Read a table with one row a sequence.

    It is read in blocks, only the columns named here: memory is the codes (one byte a base) and the numbers.

    Parameters
    ----------
    path : path
        ``.csv`` is comma-separated, ``.parquet`` Parquet, anything else tab-separated; gzip is recognised by content.
    sequence : str
        Column of sequences (A C G T N, either case).
    targets : mapping of str to str or list of str
        For each target one column, or its replicate columns: the target is then the mean over the replicates that
        are present. Empty values, NA and NaN are missing. None or empty: unlabelled sequences.
    id : str or None
        Column of unique identifiers; None: "row1", "row2", ... by position in the file.
    split : str or None
        Column of split names; spellings of train, valid and test are unified (see ``named_splits``).
    columns : sequence of str
        Further columns to keep: integers or floats where the whole column reads so, else text.
    units : str
        Unit of the targets.
    missing : str
        "refuse", "drop" or "mask": what to do with rows that lack a target (see ``assemble``).
    repeated_ids : "refuse" or "number"
        "number" adds "#2", "#3" ... to the second and later rows of one id.
    length : LengthPolicy or str
        What to do with sequences of different lengths.
    delimiter : str or None
        Separator, where the file's name does not tell: one character, or "tab".

    Raises
    ------
    DataError
        For a missing file or column, an empty table, text in a number column, a letter that is no base, mixed
        lengths, missing or infinite targets, a constant target, duplicate ids, a truncated file. Rows are counted
        from 1 below the header.
    ConfigError
        For targets that contradict the other columns or themselves, a delimiter that is no single character.
    """
    groups = target_groups(targets or {})
    texts = [name for name in (id, split, *columns) if name is not None]
    numbers = [name for group in groups.values() for name in group]
    clash = set(numbers) & {sequence, *(name for name in (id, split) if name)}
    if clash:
        raise ConfigError(
            f"targets: column {min(clash)!r} is also named as sequence, id or split; choose another"
        )
    types = {sequence: TEXT, **dict.fromkeys(texts, TEXT), **dict.fromkeys(numbers, NUMBER)}
    # A column can be asked for as a target and again in `columns`; it is then a number.
    rows = read_rows(path, sequence, types, as_policy(length), keep=texts, delimiter=delimiter)
    n = len(rows.codes)
    measured = Measurements(
        names=tuple(groups),
        values=tuple(np.stack([rows.numbers[c] for c in group], axis=1) for group in groups.values()),
        units=units,
    )
    return assemble(
        rows.codes,
        row_ids(n) if id is None else texts_of(rows.texts[id]),
        measured,
        missing=missing,
        repeated_ids=repeated_ids,
        where=str(path),
        splits=None if split is None else named_splits(texts_of(rows.texts[split])),
        columns={c: rows.numbers[c] if c in rows.numbers else values_of(rows.texts[c]) for c in columns},
    )


def target_groups(targets: Mapping[str, str | Sequence[str]]) -> dict[str, list[str]]:
    """Return the replicate columns of each target; refuses none, or one column used twice."""
    groups = {name: [given] if isinstance(given, str) else list(given) for name, given in targets.items()}
    used = [column for group in groups.values() for column in group]
    for name, group in groups.items():
        if not group:
            raise ConfigError(f"targets.{name}: no column given; name one, or a list of replicate columns")
    twice = sorted({column for column in used if used.count(column) > 1})
    if twice:
        raise ConfigError(f"targets: column {twice[0]!r} is named twice; every replicate is one column")
    return groups


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Columns of a table: codes, texts in parts as they came, numbers."""

    codes: ndarray
    texts: dict[str, list[pa.Array]]
    numbers: dict[str, ndarray]


def read_rows(
    path: str | Path,
    sequence: str,
    types: Mapping[str, pa.DataType],
    policy: LengthPolicy,
    *,
    keep: Sequence[str] = (),
    delimiter: str | None = None,
) -> Rows:
    """Read a table into memory: sequences as codes, every column of numbers, the columns of text named in ``keep``."""
    codes: list[ndarray] = []
    texts: dict[str, list[pa.Array]] = {name: [] for name in keep if types[name] == TEXT}
    numbers: dict[str, list[ndarray]] = {n: [] for n, kind in types.items() if kind == NUMBER}
    for batch, block in coded_batches(path, sequence, types, policy, delimiter):
        codes.append(block)
        for name, parts in texts.items():
            parts.append(batch.column(name))
        for name, parts in numbers.items():
            parts.append(batch.column(name).to_numpy(zero_copy_only=False).copy())
    return Rows(
        codes=np.concatenate(codes),
        texts=texts,
        numbers={name: np.concatenate(parts) for name, parts in numbers.items()},
    )


def coded_batches(
    path: str | Path,
    sequence: str,
    types: Mapping[str, pa.DataType],
    policy: LengthPolicy,
    delimiter: str | None = None,
) -> Iterator[tuple[pa.RecordBatch, ndarray]]:
    """Yield each batch of a table with the (n, l) codes of its sequences."""
    coder = Coder(policy, f"{path}: column {sequence!r}")
    for batch in table_batches(path, types, delimiter):
        yield batch, coder.column(batch.column(sequence))
