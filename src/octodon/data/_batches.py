"""Tables (TSV, CSV, gzipped or not, Parquet) as a stream of Arrow batches that hold only the columns asked for."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from octodon.data._arrow import NO_VALUE, compute
from octodon.data._files import existing_file, one_line, open_binary, plain_suffix, reading
from octodon.errors import ConfigError, DataError
from octodon.registry import suggest

TABLE_SUFFIXES = (".tsv", ".txt", ".tab", ".csv", ".parquet", ".pq", ".gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
_BLOCK_BYTES = 8 << 20
_PARQUET_ROWS = 32_768

TEXT = pa.string()
NUMBER = pa.float64()


def column_names(path: str | Path, delimiter: str | None = None) -> list[str]:
    """Return the names in the header.

    Raises
    ------
    DataError
        For a missing file, a truncated or damaged one, or a first line that is no header.
    ConfigError
        For a delimiter that is no single character.
    """
    file = existing_file(path)
    separator = _separator(file, delimiter)
    if plain_suffix(file) in PARQUET_SUFFIXES:
        try:
            with reading(file):
                return pq.read_schema(file).names
        except pa.ArrowException as error:
            raise _unreadable(file, error) from error
    with open_binary(file) as stream:
        first = stream.readline()
    try:
        line = first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise DataError(f"{file}: the first line is not text; expected a table with a header") from None
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error as error:  # it is cut at a line end of Windows or Unix only
        raise DataError(
            f"{file}: the first line is no header of a table ({one_line(error)}); expected names of columns, and lines that end "
            f"in LF or CR LF, not in CR alone: write it anew"
        ) from None


def table_batches(
    path: str | Path, types: Mapping[str, pa.DataType], delimiter: str | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield batches with the columns of ``types``, in that order and of those types, from top to bottom.

    Parameters
    ----------
    path : path
        ``.parquet`` is Parquet; ``.csv`` is comma-separated; every other name is tab-separated; gzip by content.
    types : mapping
        Arrow type of each column that is wanted: TEXT or NUMBER.
    delimiter : str or None
        Overrides the separator that the name implies; "tab" for a tab.

    Raises
    ------
    DataError
        For a missing file or column, an empty table, text in a number column, a truncated or damaged file; after the last
        batch, where a quotation mark made one row of several lines.
    ConfigError
        For a delimiter that is no single character.
    """
    file = existing_file(path)
    _refuse_columns(file, column_names(file, delimiter), list(types))
    n_rows = 0
    try:
        for batch in _batches(file, types, delimiter):
            n_rows += batch.num_rows
            if batch.num_rows:
                yield batch
    except pa.ArrowException as error:
        _refuse_text(file, types, delimiter)
        raise _unreadable(file, error) from error
    if n_rows == 0:
        raise DataError(f"{file}: the table has a header but no rows; expected at least one")


def _unreadable(file: Path, error: BaseException) -> DataError:
    return DataError(f"{file}: cannot be read as a table: {one_line(error)}; write it anew or copy it again")


def _separator(file: Path, delimiter: str | None) -> str:
    """Return the character between the columns: the one that is given, else what the file's name implies."""
    if not delimiter:
        return "," if plain_suffix(file) == ".csv" else "\t"
    if delimiter in ("tab", "\\t"):  # the latter is what '\t' is in TOML: two characters
        return "\t"
    if len(delimiter) > 1 or not delimiter.isascii() or delimiter in "\"'\r\n":
        raise ConfigError(
            f"{file}: delimiter is {delimiter!r}, expected one ASCII character that is no quotation mark or line end, "
            f"such as ';', or 'tab'"
        )
    return delimiter


def _refuse_columns(file: Path, header: Sequence[str], wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in header:
            raise DataError(f"{file}: no column {name!r}; {suggest(name, list(header))}")
        if header.count(name) > 1:
            raise DataError(
                f"{file}: {header.count(name)} columns are called {name!r}, expected one; rename them"
            )


def _batches(file: Path, types: Mapping[str, pa.DataType], delimiter: str | None) -> Iterator[pa.RecordBatch]:
    if plain_suffix(file) in PARQUET_SUFFIXES:
        with reading(file), pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(batch_size=_PARQUET_ROWS, columns=list(types)):
                arrays = [compute.cast(batch.column(name), kind) for name, kind in types.items()]
                yield pa.record_batch(arrays, names=list(types))
        return
    with open_binary(file) as stream:
        lines = _CountedLines(stream)
        reader = pacsv.open_csv(
            pa.PythonFile(lines, mode="r"),
            read_options=pacsv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pacsv.ParseOptions(delimiter=_separator(file, delimiter)),
            convert_options=pacsv.ConvertOptions(
                include_columns=list(types), column_types=dict(types), null_values=NO_VALUE
            ),
        )
        n_rows = 0
        with reader:
            for batch in reader:
                n_rows += batch.num_rows
                yield batch
    if n_rows != lines.n - 1:
        raise DataError(
            f"{file}: {lines.n - 1:,} lines below the header but {n_rows:,} rows: a field begins with a quotation mark that "
            f"another line closes, or none; remove such marks, or quote each field on its own line"
        )


class _CountedLines:
    """A stream that counts the lines that are not empty while the parser reads it.

    The parser takes a line end within quotation marks for text, so that a mark that merely begins a field joins its line with
    all those before the next such mark, and an id with the sequence of another row.
    """

    def __init__(self, stream: IO[bytes] | Any) -> None:
        self._stream = stream
        self._at_start = True
        self.n = 0

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        if content:
            letters = np.frombuffer(content, dtype=np.uint8)
            is_text = (letters != ord("\n")) & (letters != ord("\r"))
            # a line begins where text follows a line end
            self.n += int(self._at_start and is_text[0]) + int(np.count_nonzero(is_text[1:] > is_text[:-1]))
            self._at_start = not is_text[-1]
        return content

    @property
    def closed(self) -> bool:
        return self._stream.closed

    def close(self) -> None:
        self._stream.close()


def _refuse_text(file: Path, types: Mapping[str, pa.DataType], delimiter: str | None) -> None:
    """Name the first text in a column of numbers; return if there is none (something else was wrong)."""
    numbers = {name: TEXT for name, kind in types.items() if kind == NUMBER}
    first_row = 0
    try:
        for batch in _batches(file, numbers, delimiter) if numbers else ():
            for name in numbers:
                row = _first_text(batch.column(name))
                if row is not None:
                    raise DataError(
                        f"{file}: row {first_row + row + 1}, column {name!r}: {batch.column(name)[row].as_py()!r} "
                        f"is no number; correct it, or leave it empty where the value is missing"
                    )
            first_row += batch.num_rows
    except pa.ArrowException:
        return


def _first_text(column: pa.StringArray) -> int | None:
    """Return the first row that is neither a number nor "no value"; None if there is none."""
    column = compute.if_else(
        compute.is_in(column, value_set=pa.array(NO_VALUE)), pa.scalar(None, TEXT), column
    )
    try:
        compute.cast(column, NUMBER)
    except pa.ArrowInvalid:
        for row, text in enumerate(column.to_pylist()):
            try:
                float(text or "nan")
            except ValueError:
                return row
    return None
