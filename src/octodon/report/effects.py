"""The map of an element: the effect of every change at its place, and how sure the model is of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy import ndarray

from octodon.errors import DataError
from octodon.report.logo import BASE_COLOURS
from octodon.report.style import GREY, panels, save_figure, styled

MOST_BP = 2000
"""Beyond, single bases cannot be told apart in print."""
_INCHES_PER_BASE = 0.025
_INDEL, _SEVERAL = "insertion, deletion", "other substitution"
_MARKERS = {_INDEL: "x", _SEVERAL: "s"}
_INCHES_PER_POSITION = 0.9
"""Of the axis, for each position that is written there: ten digits, and room between them."""


def effects_figure(
    table: pd.DataFrame, targets: list[str], out: Path, *, title: str = "", units: str = "activity"
) -> None:
    """Draw the effects of variants along a stretch of one contig, for each target one panel.

    Substitutions of one base have the colour of the new one, those of several are grey squares, insertions and deletions grey
    crosses. Lines reach one std (``effect_epistemic_std``)
    either way; the bars beneath are the mean of these stds over the variants at a position.

    Parameters
    ----------
    table : DataFrame
        Columns pos (1-based), ref, alt, and for each target ``TARGET_effect`` and, where the model knows it,
        ``TARGET_effect_epistemic_std``.
    targets : list of str
    out : Path
        .svg or .png.
    title : str
    units : str
        Of the effects.

    Raises
    ------
    DataError
        No variant, or a stretch too long to be drawn.
    ConfigError, RunError
        As ``save_figure``.
    """
    if table.empty:
        raise DataError("map of effects: no variant in this region; choose another one")
    positions = table["pos"].to_numpy(np.int64)
    first, last = int(positions.min()), int(positions.max())
    if last - first >= MOST_BP:
        raise DataError(
            f"map of effects: {last - first + 1:,} bp, expected at most {MOST_BP:,}; choose a region"
        )
    has_std = [f"{target}_effect_epistemic_std" in table for target in targets]
    ratios = [ratio for known in has_std for ratio in ([2.2, 0.7] if known else [2.2])]
    width = float(np.clip(_INCHES_PER_BASE * (last - first + 1), 5.0, 16.0))
    with styled():
        figure, grid = panels(len(ratios), 1, size=(width, 1.5), height_ratios=ratios)
        rows = iter(axes for (axes,) in grid)
        axes = grid[0][0]
        for target, known in zip(targets, has_std, strict=True):
            axes = next(rows)
            _effects(axes, table, target)
            axes.set_title(f"{title}, {target}" if title else target)
            axes.set_ylabel(f"effect ({units})")
            if known:
                axes = next(rows)
                _std_bars(axes, table, target)
        for shown in figure.axes:
            _position_axis(shown, first, last, width)
        axes.set_xlabel("position (bp)")
        handles = figure.axes[0].get_legend_handles_labels()
        # above the title, which it would cover in a short map
        figure.legend(*handles, loc="outside upper right", ncols=6, handletextpad=0.1, columnspacing=0.8)
        save_figure(figure, out)


def _position_axis(axes: Axes, first: int, last: int, inches: float) -> None:
    """Write positions in full: the offset that matplotlib takes off large numbers (+1.0927e8) loses them."""
    axes.set_xlim(first - 1, last + 1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=int(inches / _INCHES_PER_POSITION), integer=True))
    axes.ticklabel_format(axis="x", useOffset=False, style="plain")


def _kinds(table: pd.DataFrame) -> ndarray:
    """Return the new base of each substitution of one base, and what the other variants are."""
    ref, alt = table["ref"].str.len(), table["alt"].str.len()
    return np.select([ref != alt, alt > 1], [_INDEL, _SEVERAL], table["alt"].astype(str))


def _effects(axes: Axes, table: pd.DataFrame, target: str) -> None:
    kind = _kinds(table)
    std = table.get(f"{target}_effect_epistemic_std")
    # alternatives at one place stand side by side, so that their lines do not cover each other
    beside = {"A": -0.3, "C": -0.1, "G": 0.1, "T": 0.3, _INDEL: 0.0, _SEVERAL: 0.0}
    axes.axhline(0, color="#444444", linewidth=0.6)
    for name, colour in {**BASE_COLOURS, _SEVERAL: GREY, _INDEL: GREY}.items():
        rows: ndarray = kind == name
        if not rows.any():
            continue
        x = table["pos"].to_numpy()[rows] + beside[name]
        y = table[f"{target}_effect"].to_numpy()[rows]
        if std is not None:
            half = std.to_numpy()[rows]
            axes.vlines(x, y - half, y + half, color=colour, linewidth=0.6, alpha=0.45)
        axes.plot(x, y, _MARKERS.get(name, "o"), color=colour, markersize=2.4, linestyle="none", label=name)


def _std_bars(axes: Axes, table: pd.DataFrame, target: str) -> None:
    positions, row_of = np.unique(table["pos"].to_numpy(np.int64), return_inverse=True)
    total = np.bincount(row_of, weights=table[f"{target}_effect_epistemic_std"].to_numpy(np.float64))
    axes.bar(positions, total / np.bincount(row_of), width=0.9, color=GREY)
    axes.set_ylabel("std over\nmembers")
