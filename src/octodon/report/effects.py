"""The map of an element: the effect of every change at its place, and how sure the model is of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy import ndarray

from octodon.errors import DataError
from octodon.report.logo import BASE_COLOURS
from octodon.report.style import GREY, panels, save_figure, styled

MOST_BP = 2000
"""Beyond, single bases cannot be told apart in print."""
_INCHES_PER_BASE = 0.025
_OTHER = "insertion, deletion"


def effects_figure(
    table: pd.DataFrame, targets: list[str], out: Path, *, title: str = "", units: str = "activity"
) -> None:
    """Draw the effects of variants along a stretch of one contig, for each target one panel.

    Substitutions have the colour of their new base, everything else is grey. Lines reach one std (``effect_epistemic_std``)
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
                shown.set_xlim(first - 1, last + 1)
        axes.set_xlabel("position (bp)")
        figure.axes[0].legend(
            loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=5, handletextpad=0.1, columnspacing=0.8
        )
        save_figure(figure, out)


def _effects(axes: Axes, table: pd.DataFrame, target: str) -> None:
    kind = np.where(
        (table["ref"].str.len() == 1) & (table["alt"].str.len() == 1), table["alt"].astype(str), _OTHER
    )
    std = table.get(f"{target}_effect_epistemic_std")
    # alternatives at one place stand side by side, so that their lines do not cover each other
    beside = {"A": -0.3, "C": -0.1, "G": 0.1, "T": 0.3, _OTHER: 0.0}
    axes.axhline(0, color="#444444", linewidth=0.6)
    for name, colour in {**BASE_COLOURS, _OTHER: GREY}.items():
        rows: ndarray = kind == name
        if not rows.any():
            continue
        x = table["pos"].to_numpy()[rows] + beside[name]
        y = table[f"{target}_effect"].to_numpy()[rows]
        if std is not None:
            half = std.to_numpy()[rows]
            axes.vlines(x, y - half, y + half, color=colour, linewidth=0.6, alpha=0.45)
        marker = "x" if name == _OTHER else "o"
        axes.plot(x, y, marker, color=colour, markersize=2.4, linestyle="none", label=name)


def _std_bars(axes: Axes, table: pd.DataFrame, target: str) -> None:
    positions, row_of = np.unique(table["pos"].to_numpy(np.int64), return_inverse=True)
    total = np.bincount(row_of, weights=table[f"{target}_effect_epistemic_std"].to_numpy(np.float64))
    axes.bar(positions, total / np.bincount(row_of), width=0.9, color=GREY)
    axes.set_ylabel("std over\nmembers")
