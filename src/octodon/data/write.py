"""Examples and the truth of a simulation as tables that other tools read: TSV, TSV.gz or Parquet, by suffix."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from jaxtyping import UInt8
from numpy import ndarray

from octodon.atomic import atomic_file
from octodon.data.examples import Examples
from octodon.data.simulate import Simulation, Truth
from octodon.errors import ConfigError, DataError
from octodon.seq.codes import bytes_from_codes

HASH = "sequence_sha256"
"""Column of a table of the truth."""


def write_table(examples: Examples, path: str | Path) -> None:
    """Write examples to ``path``: id, sequence, measurements, split and further columns.

    Replicates become columns ``<target>_rep1`` ..., and a target without replicates ``<target>``; missing values are
    empty fields. An existing file is replaced when the new one is complete.

    Raises
    ------
    ConfigError
        For a suffix other than .tsv, .tsv.gz or .parquet.
    DataError
        Where two columns would have one name, or a text does not fit into TSV.
    RunError
        Where the file cannot be written.
    """
    columns: list[tuple[str, pa.Array]] = [
        ("id", pa.array(examples.ids.tolist(), pa.string())),
        ("sequence", _sequences(examples.codes)),
    ]
    for index, target in enumerate(examples.target_names):
        if examples.replicates is None:
            columns.append((target, _numbers(examples.targets[:, index])))
        else:
            columns += [
                (f"{target}_rep{number}", _numbers(values))
                for number, values in enumerate(examples.replicates[:, index].T, start=1)
            ]
    if examples.splits is not None:
        columns.append(("split", pa.array(examples.splits.tolist(), pa.string())))
    columns += [(name, pa.array(values.tolist())) for name, values in examples.columns.items()]
    names = [name for name, _ in columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(
            f"{path}: two columns would be called {repeated[0]!r}; rename the target or the column"
        )
    _write(pa.table([values for _, values in columns], names=names), Path(path))


def write_truth(simulation: Simulation, path: str | Path) -> None:
    """Write what only the simulation knows, one row a sequence in the order of the examples.

    Columns: id, ``<target>_activity`` and ``<target>_noise_std`` (of one measurement) per target, gc, and sites as
    ``motif:start-stop:strand`` (0-based, half-open) joined by ";"; and the `sequence_hashes`, by which it is known of which
    simulation it is: ids are those of any other.

    Raises
    ------
    ConfigError, DataError, RunError
        As ``write_table``.
    """
    truth = simulation.truth
    columns: dict[str, pa.Array] = {"id": pa.array(simulation.examples.ids.tolist(), pa.string())}
    for index, target in enumerate(simulation.examples.target_names):
        columns[f"{target}_activity"] = _numbers(truth.activity[:, index])
        columns[f"{target}_noise_std"] = _numbers(truth.noise_std[:, index])
    columns["gc"] = _numbers(truth.gc)
    columns["sites"] = _sites(truth)
    columns[HASH] = pa.array(sequence_hashes(simulation.examples.codes), pa.string())
    _write(pa.table(columns), Path(path))


def sequence_hashes(codes: UInt8[ndarray, "n l"]) -> list[str]:
    """Return 16 hexadecimal digits of the SHA-256 of each sequence as text."""
    return [hashlib.sha256(row.tobytes()).hexdigest()[:16] for row in bytes_from_codes(codes)]


def _sites(truth: Truth) -> pa.Array:
    motif = np.array(truth.motif_names)[truth.site_motif]
    parts = [motif, ":", truth.site_start.astype(np.str_), "-", truth.site_stop.astype(np.str_), ":"]
    text = truth.site_strand
    for part in reversed(parts):
        text = np.char.add(part, text)
    offsets = np.searchsorted(truth.site_row, np.arange(len(truth.gc) + 1))
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(text.tolist(), pa.string()))
    return pa.array([";".join(sites) for sites in lists.to_pylist()], pa.string())


def _sequences(codes: UInt8[ndarray, "n l"]) -> pa.Array:
    n, length = codes.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int64) * length)
    array = pa.LargeStringArray.from_buffers(n, offsets.buffers()[1], pa.py_buffer(bytes_from_codes(codes)))
    # TSV.gz readers and Parquet files expect plain strings; those hold 2 GiB at most.
    return array.cast(pa.string()) if n * length < 2**31 else array


def _numbers(values: ndarray) -> pa.Array:
    return pa.array(values, from_pandas=True)  # NaN becomes missing


def _write(table: pa.Table, path: Path) -> None:
    name = path.name.lower()
    if not name.endswith((".tsv", ".tsv.gz", ".parquet")):
        raise ConfigError(
            f"{path}: unknown kind of table, expected a name ending in .tsv, .tsv.gz or .parquet"
        )
    try:
        with atomic_file(path) as partial:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                if name.endswith(".parquet"):
                    pa_parquet.write_table(table, file)
                elif name.endswith(".gz"):
                    # No name and no time inside: equal tables are equal files.
                    with gzip.GzipFile(
                        filename="", mode="wb", fileobj=file, compresslevel=3, mtime=0
                    ) as packed:
                        _write_tsv(table, packed)
                else:
                    _write_tsv(table, file)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{path}: a text holds a tab, quote or line break; write .parquet instead ({error})"
        ) from error


def _write_tsv(table: pa.Table, file: Any) -> None:
    file.write("\t".join(table.column_names).encode() + b"\n")
    options = pa_csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    pa_csv.write_csv(table, file, options)
