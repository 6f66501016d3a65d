"""Slide a model along a genome: predictions of every window on both strands, in memory that does not grow with it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from octodon.atomic import atomic_file
from octodon.data.genome import Genome
from octodon.data.intervals import contigs_on, read_intervals
from octodon.errors import ConfigError, DataError, RunError
from octodon.genomes.grid import Grid, Run, blocks, region_runs, whole_runs
from octodon.genomes.tracks import STRANDS, columns_of, write_track
from octodon.metrics.evaluate import predictions_frame
from octodon.predict.predictor import Predictor
from octodon.seq.codes import has_few_n, reverse_complement

_WINDOWS = 8192


@dataclass(frozen=True, kw_only=True)
class ScanOptions:
    """What of a genome is predicted.

    Attributes
    ----------
    stride_bp : int
        From one window's start to the next's.
    bed : Path or None
        Regions; None: the whole genome.
    max_n_fraction : float
        Windows with a larger share of N are skipped and counted (0 to 1).
    device : str
        "auto", "cpu" or "cuda".
    """

    stride_bp: int = 50
    bed: Path | None = None
    max_n_fraction: float = 0.05
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.max_n_fraction <= 1:
            raise ConfigError(f"--max-n {self.max_n_fraction}: expected a fraction from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class ScanReport:
    """What was done.

    Attributes
    ----------
    n_windows : int
        Windows predicted, each on both strands.
    n_skipped : int
        Windows with too many N.
    n_short_contigs : int
        Contigs shorter than a window, among those that regions name, or among all without regions.
    n_empty_regions : int
        Regions too near the end of a contig for any window.
    n_between_regions : int
        Regions between two windows, where the stride is longer than a window.
    notes : tuple of str
        Lines for the user.
    files : tuple of Path
    """

    n_windows: int
    n_skipped: int
    n_short_contigs: int
    n_empty_regions: int
    n_between_regions: int
    notes: tuple[str, ...]
    files: tuple[Path, ...]


@dataclass
class _Counts:
    predicted: int = 0
    skipped: int = 0


def scan(
    predictor: Predictor,
    genome: Genome,
    out: Path,
    options: ScanOptions | None = None,
    *,
    on_windows: Callable[[int, int], None] | None = None,
) -> ScanReport:
    """Write ``OUT.parquet`` (a row per window and strand) and ``OUT.TARGET.QUANTITY.STRAND.bw`` (one per column).

    Windows start at multiples of the stride, so that a region's windows are those of the whole genome's scan whose
    span touches it: the bases around the centre that a window stands for (``Grid``). On the strand "-" the window's reverse
    complement is predicted.

    Parameters
    ----------
    out : path
        Prefix of the files; they appear only when all are complete.
    on_windows : callable, optional
        Called with the number of windows done and of all windows.

    Raises
    ------
    ConfigError
        An option out of range, or a prefix that is a folder.
    DataError
        No window anywhere, a region on a contig that is not there, every window full of N, or as ``Genome.fetch``.
    RunError
        The files cannot be written.
    """
    options = options or ScanOptions()
    if out.is_dir() or not out.name:
        raise ConfigError(
            f"--out {out}: is a folder; expected a prefix of file names, such as {out / 'scan'}"
        )
    _refuse_alike(predictor.target_names)
    grid = Grid(length_bp=predictor.model.length, stride_bp=options.stride_bp)
    chosen = _chosen(grid, genome, options.bed)
    total = sum(after - first for _, first, after in chosen.runs)
    counts = _Counts()
    with _workshop(out) as folder:
        table = folder / "windows.parquet"
        with _Table(table) as write:
            for frame in _frames(predictor, genome, grid, chosen.runs, options, counts):
                write(frame)
                if on_windows is not None:
                    on_windows(counts.predicted + counts.skipped, total)
        if not counts.predicted:
            raise DataError(
                f"{genome.path}: all {counts.skipped:,} windows have more than {100 * options.max_n_fraction:g}% N; raise --max-n, "
                f"or choose other regions"
            )
        files = _publish(table, out, grid, genome)
    return ScanReport(
        n_windows=counts.predicted,
        n_skipped=counts.skipped,
        n_short_contigs=sum(not grid.n_windows(genome.lengths_bp[name]) for name in chosen.contigs),
        n_empty_regions=chosen.n_empty,
        n_between_regions=chosen.n_between,
        notes=(genome.note, *chosen.notes),
        files=files,
    )


@contextmanager
def _workshop(out: Path) -> Iterator[Path]:
    """Give a folder beside the output that is gone afterwards; files are made there and then get their names."""
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            yield Path(folder)
    except OSError as error:
        raise RunError(
            f"cannot write {out}.*: {error.strerror or error}; check folder, space and permissions"
        ) from error


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """The windows to predict, the contigs that were asked for, the regions without windows, and lines for the user."""

    runs: list[Run]
    contigs: Collection[str]
    n_empty: int = 0
    n_between: int = 0
    notes: tuple[str, ...] = ()


def _chosen(grid: Grid, genome: Genome, bed: Path | None) -> _Chosen:
    if bed is None:
        runs = whole_runs(grid, genome.lengths_bp)
        if not runs:
            longest = max(genome.lengths_bp.values())
            raise DataError(
                f"{genome.path}: no window; the longest contig has {longest:,} bp, the model reads {grid.length_bp:,} bp"
            )
        return _Chosen(runs=runs, contigs=genome.lengths_bp)
    regions = read_intervals(bed)
    contigs, note = contigs_on(genome, regions.contigs, str(bed))
    runs, n_empty, n_between = region_runs(grid, genome.lengths_bp, contigs, regions)
    if not runs:
        why = {"too near the end of a contig": n_empty, "between windows (lower --stride)": n_between}
        raise DataError(
            f"{bed}: no window of {grid.length_bp:,} bp for any of its {n_empty + n_between:,} regions; they lie "
            + " or ".join(place for place, count in why.items() if count)
        )
    return _Chosen(
        runs=runs,
        contigs=set(contigs.tolist()),
        n_empty=n_empty,
        n_between=n_between,
        notes=(note,) if note else (),
    )


def _frames(
    predictor: Predictor, genome: Genome, grid: Grid, runs: list[Run], options: ScanOptions, counts: _Counts
) -> Iterator[pd.DataFrame]:
    """Yield the rows of each block of windows: those of the strand "+", then those of "-"."""
    for contig, first, after in blocks(runs, _WINDOWS):
        starts = np.arange(first, after, dtype=np.int64) * grid.stride_bp
        codes = genome.windows(contig, starts, grid.length_bp)
        kept = np.flatnonzero(has_few_n(codes, options.max_n_fraction))
        counts.skipped += len(codes) - len(kept)
        counts.predicted += len(kept)
        if not len(kept):
            continue
        codes, starts = codes[kept], np.tile(starts[kept], 2)
        both = np.concatenate([codes, reverse_complement(codes)])
        prediction = predictor.predict(both, device=options.device)
        frame = predictions_frame(prediction).drop(columns="id")
        if prediction.aleatoric_std is not None and prediction.total_std is not None:
            for target, values in zip(prediction.target_names, prediction.total_std.T, strict=True):
                frame[f"{target}_total_std"] = values.astype(np.float32)
        place = {
            "contig": np.full(len(both), contig, dtype=object),
            "start": starts,
            "stop": starts + grid.length_bp,
            "strand": np.repeat(["+", "-"], len(codes)).astype(object),
        }
        yield pd.concat([pd.DataFrame(place), frame], axis=1)


class _Table:
    """Appends frames to a Parquet file, whose columns the first frame sets."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: parquet.ParquetWriter | None = None

    def __enter__(self) -> Callable[[pd.DataFrame], None]:
        return self._write

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def _write(self, frame: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)


def _in_a_file_name(column: str) -> str:
    return column.replace("/", "_")


def _refuse_alike(target_names: Sequence[str]) -> None:
    names = [_in_a_file_name(name) for name in target_names]
    twice = [own for own, name in zip(target_names, names, strict=True) if names.count(name) > 1]
    if twice:
        raise ConfigError(
            f"scan: the tracks of the targets {' and '.join(map(repr, twice))} would be one file; give them names that "
            f"differ in more than / and _"
        )


def _publish(table: Path, out: Path, grid: Grid, genome: Genome) -> tuple[Path, ...]:
    """Write the tracks beside the table, then give every file its name."""
    made = {out.with_name(f"{out.name}.parquet"): table}
    for column in columns_of(parquet.read_schema(table).names):
        for name, strand in STRANDS.items():
            final = out.with_name(f"{out.name}.{_in_a_file_name(column)}.{name}.bw")
            made[final] = table.with_name(final.name)
            write_track(table, column, strand, grid, genome.lengths_bp, made[final])
    for final, part in made.items():
        with atomic_file(final) as partial:
            part.rename(partial)
    return tuple(made)
