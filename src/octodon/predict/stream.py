"""Predict a file of sequences chunk by chunk: memory does not grow with the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, parquet

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
        For an output of another kind.
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
    rows = 0
    with atomic_file(out) as partial:
        writer = None
        try:
            for ids, codes in stream_sequences(source, sequence=sequence, id=id, chunk=CHUNK):
                frame = predictions_frame(predictor.predict(codes, list(ids), device=device))
                table = pa.Table.from_pandas(frame, preserve_index=False)
                if writer is None:
                    writer = _writer(partial, suffix, table.schema)
                writer.write_table(table)
                rows += len(ids)
                if on_rows is not None:
                    on_rows(rows)
        finally:
            if writer is not None:
                writer.close()
    return rows


def _writer(path: Path, suffix: str, schema: pa.Schema) -> csv.CSVWriter | parquet.ParquetWriter:
    if suffix == ".parquet":
        return parquet.ParquetWriter(path, schema)
    options = csv.WriteOptions(delimiter="\t" if suffix == ".tsv" else ",", quoting_style="needed")
    return csv.CSVWriter(path, schema, write_options=options)
