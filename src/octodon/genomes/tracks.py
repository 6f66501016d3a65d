"""BigWig tracks from a table of windows, one per target, quantity and strand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from pyarrow import parquet

from octodon.errors import RunError
from octodon.genomes.grid import Grid

STRANDS = {"plus": "+", "minus": "-"}
_ROWS = 65_536
Value = tuple[str, int, int, float]


def write_track(
    table: Path, column: str, strand: str, grid: Grid, lengths_bp: Mapping[str, int], out: Path
) -> None:
    """Write one column of one strand as bigWig; every window's value lies on the span around its centre.

    Raises
    ------
    RunError
        The file could not be written.
    """
    import pybigtools  # loaded only where tracks are written

    source = _Values(table, column, strand, grid)
    writer = pybigtools.open(str(out), "w")
    writer.write(dict(lengths_bp), iter(source))
    # pybigtools prints what goes wrong and returns: what it has not asked for, it has not written
    if not source.finished or not out.is_file() or out.stat().st_size == 0:
        raise RunError(f"{out}: the track could not be written; check space and permissions")


def columns_of(names: Sequence[str]) -> list[str]:
    """Return the columns of a table of windows that become tracks: means and standard deviations."""
    return [name for name in names if name.endswith(("_mean", "_epistemic_std", "_total_std"))]


class _Values:
    """(contig, start, stop, value) of one column and strand, read block by block."""

    def __init__(self, table: Path, column: str, strand: str, grid: Grid) -> None:
        self.table, self.column, self.strand, self.grid = table, column, strand, grid
        self.finished = False

    def __iter__(self) -> Iterator[Value]:
        with parquet.ParquetFile(self.table) as file:
            for batch in file.iter_batches(_ROWS, columns=["contig", "start", "strand", self.column]):
                rows = np.flatnonzero(batch.column("strand").to_numpy(zero_copy_only=False) == self.strand)
                contigs = batch.column("contig").to_numpy(zero_copy_only=False)[rows].tolist()
                starts = batch.column("start").to_numpy()[rows] + self.grid.margin_bp
                values = batch.column(self.column).to_numpy()[rows].tolist()
                yield from zip(
                    contigs, starts.tolist(), (starts + self.grid.span_bp).tolist(), values, strict=True
                )
        self.finished = True
