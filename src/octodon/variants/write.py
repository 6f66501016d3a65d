"""Effects on disk, block by block: TSV, CSV, Parquet, or a VCF with INFO fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from octodon.atomic import atomic_file
from octodon.errors import ConfigError
from octodon.predict.stream import table_writer
from octodon.variants.frame import MEANINGS, OOD_MEANINGS

TABLES = (".tsv", ".csv", ".parquet")
VCFS = (".vcf", ".vcf.gz")
Write = Callable[[pd.DataFrame], object]


def check_suffix(out: Path, *, coordinates: bool) -> str:
    """Return the suffix that says what to write.

    Raises
    ------
    ConfigError
        For another suffix, or a VCF of sequences that have no place on a genome.
    """
    suffix = next((s for s in (*VCFS, *TABLES) if out.name.lower().endswith(s)), None)
    if suffix is None:
        raise ConfigError(f"--out {out}: expected a name ending in {', '.join((*TABLES, *VCFS))}")
    if suffix in VCFS and not coordinates:
        raise ConfigError(
            f"--out {out}: sequences of a table have no position for a VCF; use .tsv or .parquet"
        )
    return suffix


@contextmanager
def effect_writer(out: Path, suffix: str, contig_lines: Sequence[str] = ()) -> Iterator[Write]:
    """Give a function that appends a block of rows; the file appears when all are there."""
    with ExitStack() as opened:
        partial = opened.enter_context(atomic_file(out))
        made = _vcf(partial, suffix, contig_lines) if suffix in VCFS else _table(partial, suffix)
        yield opened.enter_context(made)


@contextmanager
def _table(path: Path, suffix: str) -> Iterator[Write]:
    with ExitStack() as opened:
        append: Callable[[pa.Table], object] | None = None

        def write(frame: pd.DataFrame) -> None:
            nonlocal append
            table = pa.Table.from_pandas(frame, preserve_index=False)
            if append is None:
                append = opened.enter_context(table_writer(path, suffix, table.schema))
            append(table)

        yield write


@contextmanager
def _vcf(path: Path, suffix: str, contig_lines: Sequence[str]) -> Iterator[Write]:
    with ExitStack() as opened:
        file: Any = opened.enter_context(_bgzip(path) if suffix.endswith(".gz") else path.open("wb"))
        started = False

        def write(frame: pd.DataFrame) -> None:
            nonlocal started
            if not started:
                file.write(_header(list(frame.columns[5:]), contig_lines).encode())
                started = True
            file.write(_records(frame).encode())

        yield write


def _bgzip(path: Path) -> Any:
    import pysam  # loaded only where it is needed

    return pysam.BGZFile(str(path), "wb", None)


def info_key(column: str) -> str:
    """Return a column's name as a key of INFO: letters, digits, "_" and "." (VCF 4.3, section 1.6.1)."""
    key = re.sub(r"[^0-9A-Za-z_.]", "_", column)
    return key if re.match(r"[A-Za-z_]", key) else f"_{key}"


def _header(columns: list[str], contig_lines: Sequence[str]) -> str:
    lines = ["##fileformat=VCFv4.2", "##source=octodon variants", *contig_lines]
    taken: dict[str, str] = {}
    for column in columns:
        if (other := taken.setdefault(info_key(column), column)) != column:
            raise ConfigError(
                f"--out: INFO would call {other!r} and {column!r} both {info_key(column)}; write .tsv or .parquet"
            )
    meanings = {**MEANINGS, **OOD_MEANINGS}
    for column in columns:
        name = max((n for n in meanings if column == n or column.endswith(f"_{n}")), key=len)
        target = column.removesuffix(name).removesuffix("_")
        meaning = (f"{target}: " if target else "").replace('"', "'") + meanings[name]
        lines.append(f'##INFO=<ID={info_key(column)},Number=1,Type=Float,Description="{meaning}">')
    return "\n".join([*lines, "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"])


def _records(frame: pd.DataFrame) -> str:
    keys = [info_key(name) for name in frame.columns[5:]]
    pattern = ";".join(f"{key}=%.6g" for key in keys)
    values = frame.iloc[:, 5:].to_numpy().tolist()
    places = frame.iloc[:, :5].astype(str).to_numpy().tolist()
    return "".join(
        "\t".join([*place, ".", ".", pattern % tuple(row)]) + "\n"
        for place, row in zip(places, values, strict=True)
    )
