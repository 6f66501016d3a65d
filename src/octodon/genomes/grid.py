"""Where windows lie: one grid per contig, the same for every choice of regions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int64
from numpy import ndarray

from octodon.data.intervals import Intervals
from octodon.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Windows of ``length_bp`` that start at multiples of ``stride_bp``.

    A window stands for the ``span_bp`` bases around its centre: neighbours' spans touch and never overlap, so that a
    track can hold them.
    """

    length_bp: int
    stride_bp: int

    def __post_init__(self) -> None:
        if self.stride_bp < 1:
            raise ConfigError(f"--stride {self.stride_bp}: expected at least 1 bp")

    @property
    def span_bp(self) -> int:
        """Bases around its centre that a window stands for."""
        return min(self.stride_bp, self.length_bp)

    @property
    def margin_bp(self) -> int:
        """Bases from the start of a window to that of its span."""
        return (self.length_bp - self.span_bp) // 2

    def n_windows(self, contig_bp: int) -> int:
        """Return how many windows lie inside a contig."""
        return max(0, (contig_bp - self.length_bp) // self.stride_bp + 1)


Run = tuple[str, int, int]
"""A contig, and the numbers of its first window and of the one after its last."""


def whole_runs(grid: Grid, lengths_bp: Mapping[str, int]) -> list[Run]:
    """Return all windows of every contig that has any."""
    runs = [(name, 0, grid.n_windows(length)) for name, length in lengths_bp.items()]
    return [run for run in runs if run[2]]


def region_runs(
    grid: Grid, lengths_bp: Mapping[str, int], contigs: ndarray, regions: Intervals
) -> tuple[list[Run], int, int]:
    """Return the windows whose span touches a region, each once, and how many regions have none.

    These are counted apart: those near the end of a contig, where no window fits, and those between two windows, which a
    stride longer than a window leaves.

    Parameters
    ----------
    contigs : (n,) array of str
        The genome's name of each region's contig.
    """
    most = np.array([grid.n_windows(lengths_bp[name]) for name in contigs.tolist()], dtype=np.int64)
    margin, span, stride = grid.margin_bp, grid.span_bp, grid.stride_bp
    first, after = (regions.starts - margin - span) // stride + 1, -((margin - regions.stops) // stride)
    between = (first >= after) & (first < most)
    first, after = np.maximum(first, 0), np.minimum(after, most)
    with_any = np.flatnonzero(first < after)
    # once for all contigs: an assembly may have as many of them as there are regions
    rows_of = pd.Series(with_any).groupby(contigs[with_any]).indices
    runs: list[Run] = []
    for name in filter(rows_of.__contains__, lengths_bp):
        rows = with_any[rows_of[name]]
        runs += [(name, *run) for run in _merged(first[rows], after[rows])]
    n_between = int(np.count_nonzero(between))
    return runs, int(np.count_nonzero(first >= after)) - n_between, n_between


def _merged(first: Int64[ndarray, " n"], after: Int64[ndarray, " n"]) -> Iterator[tuple[int, int]]:
    """Yield the union of half-open ranges, in order."""
    order = np.argsort(first, kind="stable")
    first, reach = first[order], np.maximum.accumulate(after[order])
    breaks = np.flatnonzero(first[1:] > reach[:-1]) + 1
    for rows in np.split(np.arange(len(first)), breaks):
        if len(rows):
            yield int(first[rows[0]]), int(reach[rows[-1]])


def blocks(runs: list[Run], most: int) -> Iterator[Run]:
    """Yield the runs cut into pieces of at most ``most`` windows."""
    for name, first, after in runs:
        for start in range(first, after, most):
            yield name, start, min(start + most, after)
