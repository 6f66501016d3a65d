"""Predict a file of sequences chunk by chunk: memory does not grow with the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
from pyarrow import parquet

from octodon.atomic import atomic_file
from octodon.data.stream import stream_sequences
from octodon.errors import ConfigError
from octodon.metrics.evaluate import predictions_frame
from octodon.predict.predictor import Predictor

CHUNK = 8192


def predict_file(
    predictor: Predictor,
    source: Path,
    out: Path,
    *,
    sequence: str = "sequence",
    id: str | None = None,
    device: str = "auto",
    on_rows: Callable[[int], None] | None = None,
) -> int:
    """Write one row per sequence of ``source`` to ``out``, in order, and return how many.

    Parameters
    ----------
    source : path
        FASTA, TSV, CSV (.gz) or Parquet.
    out : path
        ``.tsv``, ``.csv`` or ``.parquet``; appears only when complete.
    sequence, id : str
        Columns of a table.
    device : str
        "auto" (a GPU where there is one), "cpu" or "cuda".
    on_rows : callable, optional
        Called with the number of rows written so far.

    Raises
    ------
    ConfigError
        For an output of another kind, or one that is the input.
    DataError
        For a file that cannot be read, or a row that is no sequence.
    BundleError
        For sequences of another length than the model's.
    RunError
        When the output cannot be written, or a GPU is asked for that is not there.
    """
    suffix = out.suffix.lower()
    if suffix not in (".tsv", ".csv", ".parquet"):
        raise ConfigError(f"--out {out}: expected a name ending in .tsv, .csv or .parquet")
    if source.exists() and out.exists() and out.samefile(source):
        raise ConfigError(f"--out {out}: this is the input, which would be lost; choose another name")
    rows = 0
    with atomic_file(out) as partial, ExitStack() as opened:
        write = None
        for ids, codes in stream_sequences(source, sequence=sequence, id=id, chunk=CHUNK):
            frame = predictions_frame(predictor.predict(codes, list(ids), device=device))
            table = pa.Table.from_pandas(frame, preserve_index=False)
            if write is None:
                write = opened.enter_context(_writer(partial, suffix, table.schema))
            write(table)
            rows += len(ids)
            if on_rows is not None:
                on_rows(rows)
    return rows


@contextmanager
def _writer(path: Path, suffix: str, schema: pa.Schema) -> Iterator[Callable[[pa.Table], object]]:
    """Give a function that appends a table to the file."""
    if suffix == ".parquet":
        with parquet.ParquetWriter(path, schema) as writer:
            yield writer.write_table
        return
    delimiter = "\t" if suffix == ".tsv" else ","
    header = io.StringIO()
    csv.writer(header, delimiter=delimiter, lineterminator="\n").writerow(schema.names)
    with path.open("wb") as file:
        file.write(header.getvalue().encode())
        yield lambda table: file.write(_rows_as_text(table, delimiter))


def _rows_as_text(table: pa.Table, delimiter: str) -> bytes:
    """Return rows with texts in quotes only where one of them needs it; pyarrow knows all or none."""
    text = io.BytesIO()
    options = pa_csv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style="none")
    try:
        pa_csv.write_csv(table, text, options)
    except pa.ArrowInvalid:
        text = io.BytesIO()
        options.quoting_style = "needed"
        pa_csv.write_csv(table, text, options)
    return text.getvalue()
