"""Predict a file of sequences chunk by chunk, reading one chunk ahead: memory does not grow with the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
from pyarrow import parquet

from octodon.atomic import atomic_file
from octodon.data._files import refuse_input
from octodon.data.lengths import REFUSE, LengthPolicy
from octodon.data.stream import Chunk, stream_sequences
from octodon.ensemble.execution import Runner
from octodon.ensemble.workers import Workers
from octodon.errors import ConfigError, DataError
from octodon.metrics.evaluate import predictions_frame
from octodon.predict.predictor import Predictor
from octodon.records import Prediction

CHUNK = 32_768
"""Sequences predicted and written at once. An ensemble prepares every member's network anew for each chunk
(``octodon.models.lowering``), so that chunks must be large; in memory one of 250 bp takes 8 MB."""
CHUNK_BASES = 1 << 24
"""Long sequences come in smaller chunks."""


def predict_file(
    predictor: Predictor,
    source: Path,
    out: Path,
    *,
    sequence: str = "sequence",
    id: str | None = None,
    length: LengthPolicy = REFUSE,
    device: str = "auto",
    finish: Callable[[Prediction], Prediction] = lambda prediction: prediction,
    on_rows: Callable[[int], None] | None = None,
    workers: Runner | None = None,
) -> int:
    """Write one row per sequence of ``source`` to ``out``, in order, and return how many.

    Rows are written as they are predicted, to a temporary file beside ``out``; at most two chunks are in memory (of a cluster: two for each
    of its workers).

    Parameters
    ----------
    source : path
        FASTA, TSV, CSV (.gz) or Parquet.
    out : path
        ``.tsv``, ``.csv`` or ``.parquet``; appears only when complete.
    sequence, id : str
        Columns of a table.
    length : LengthPolicy
        How sequences come to the length of the model, as when it was trained; its ``length_bp`` is that of the model.
    device : str
        "auto" (a GPU where there is one), "cpu" or "cuda".
    finish : callable
        What becomes of the prediction of each chunk before it is written: another level of its interval, say.
    on_rows : callable, optional
        Called with the number of rows written so far.
    workers : Runner, optional
        Where chunks are predicted, each on ``device``; default: in this process.

    Raises
    ------
    ConfigError
        For an output of another kind, or one that is the input.
    DataError
        For a file that cannot be read, or a row that is no sequence or does not come to the length of the model.
    RunError
        When the output cannot be written, or a GPU is asked for that is not there.
    """
    suffix = out.suffix.lower()
    if suffix not in (".tsv", ".csv", ".parquet"):
        raise ConfigError(f"--out {out}: expected a name ending in .tsv, .csv or .parquet")
    refuse_input(out, source)
    chunks = partial(_chunks, source, sequence, id, length, predictor.model.length)
    answer = partial(_answer, predictor, device, finish)
    rows = 0
    with atomic_file(out) as unfinished, ExitStack() as opened:
        write = None
        for table in (workers or Workers(0)).stream(chunks, answer):
            if write is None:
                write = opened.enter_context(table_writer(unfinished, suffix, table.schema))
            write(table)
            rows += len(table)
            if on_rows is not None:
                on_rows(rows)
    return rows


def _answer(
    predictor: Predictor, device: str, finish: Callable[[Prediction], Prediction], chunk: Chunk
) -> pa.Table:
    """Return the rows of a chunk."""
    ids, codes = chunk
    frame = predictions_frame(finish(predictor.predict(codes, list(ids), device=device)))
    return pa.Table.from_pandas(frame, preserve_index=False)


def _chunks(
    source: Path, sequence: str, id: str | None, length: LengthPolicy, model_bp: int
) -> Iterator[Chunk]:
    """Yield ids and codes of the model's length."""
    policy = replace(length, length_bp=model_bp)
    if _fits_whole_flanks(source, sequence, length, model_bp):
        policy = replace(length, length_bp=None)
    chunk = min(CHUNK, max(1, CHUNK_BASES // model_bp))
    try:
        yield from stream_sequences(source, sequence=sequence, id=id, chunk=chunk, length=policy)
    except DataError as error:
        # What the reader says of lengths is for every caller; here it is an option that helps.
        if policy.policy == "refuse" and "length polic" in str(error):
            raise DataError(
                f"{error}: --length crop, or --length flank with --left-flank and --right-flank"
            ) from None
        raise


def _fits_whole_flanks(source: Path, sequence: str, length: LengthPolicy, model_bp: int) -> bool:
    """Return whether flanks of unequal length, added whole, bring the first sequences to the length of the model.

    Flanks are used equally on both sides where a length is given, and whole where none is; models are trained either way.
    Where both flanks are of one length, whole is also equal.
    """
    if len(length.right_flank) - len(length.left_flank) in (0, 1):
        return False
    try:
        first = next(
            stream_sequences(source, sequence=sequence, chunk=1, length=replace(length, length_bp=None)), None
        )
    except DataError:  # raised again, and told, when the file is read
        return False
    return first is not None and first[1].shape[1] == model_bp


@contextmanager
def table_writer(path: Path, suffix: str, schema: pa.Schema) -> Iterator[Callable[[pa.Table], object]]:
    """Give a function that appends a table to the file."""
    if suffix == ".parquet":
        with parquet.ParquetWriter(path, schema) as writer:
            yield writer.write_table
        return
    delimiter = "\t" if suffix == ".tsv" else ","
    with path.open("wb") as file:
        file.write(header_as_text(schema.names, delimiter))
        yield lambda table: file.write(rows_as_text(table, delimiter))


def header_as_text(names: list[str], delimiter: str) -> bytes:
    """Return the first line of a table as text."""
    header = io.StringIO()
    csv.writer(header, delimiter=delimiter, lineterminator="\n").writerow(names)
    return header.getvalue().encode()


def rows_as_text(table: pa.Table, delimiter: str) -> bytes:
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
