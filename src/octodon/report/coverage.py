"""Coverage cell by cell: where intervals hold, and where they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from octodon.errors import DataError
from octodon.report.style import COLOURS, GREY, MARKERS, panels, rows_where, save_figure, styled


def coverage_figure(coverage: pd.DataFrame, out: Path, *, level: float = 0.9, student: int = 0) -> None:
    """Draw coverage in each cell, one row per target and one panel per stratum; a ring marks the worst cell.

    The grey bar behind a cell holds the coverage of 95 % of cells of that size whose true coverage is the level.

    Parameters
    ----------
    coverage : DataFrame
        Of ``octodon.metrics.strata.coverage_by_cell``, one split.
    out : Path
        .svg or .png.
    level : float
        The level drawn.
    student : int
        Index of the student drawn, beside the ensemble.

    Raises
    ------
    DataError
        No row of that level.
    """
    chosen = coverage.loc[(coverage["level"] == level) & (coverage["stratum"] != "all")]
    chosen = chosen.loc[(chosen["model"] != "student") | (chosen["index"] == student)]
    if chosen.empty:
        raise DataError(f"coverage figure: no row of level {level}; evaluate that level first")
    targets, strata = (list(dict.fromkeys(chosen[name])) for name in ("target", "stratum"))
    with styled():
        figure, grid = panels(len(targets), len(strata), size=(3.4, 2.6))
        for row, target in zip(grid, targets, strict=True):
            for axes, stratum in zip(row, strata, strict=True):
                draw_cells(axes, rows_where(chosen, target=target, stratum=stratum), level)
                axes.set_title(f"{target}: {stratum}")
                axes.sharey(row[0])
            part = rows_where(chosen, target=target)
            lowest = float(part["coverage"].to_numpy().min())
            row[0].set_ylim(min(lowest, level - 0.1) - 0.03, 1.02)
            row[0].set_ylabel(f"inside their {level:.0%} interval")
        for axes, stratum in zip(grid[-1], strata, strict=True):
            tenths = stratum in ("activity", "epistemic", "ood")
            axes.set_xlabel(f"{stratum}{', tenth (1 = lowest)' if tenths else ''}")
        handles, _ = grid[0][0].get_legend_handles_labels()
        ring = Line2D([], [], color=GREY, marker="o", linestyle="none", markersize=10, fillstyle="none")
        ring.set_label("worst cell of a model")
        figure.legend(handles=[*handles, ring], loc="outside lower center", ncols=4)
        save_figure(figure, out)


def draw_cells(axes: Axes, part: pd.DataFrame, level: float) -> None:
    """Draw coverage in the cells of one stratum, the band that chance allows, and a ring around the worst cell of a model."""
    cells = list(dict.fromkeys(part["cell"]))
    axes.axhline(level, color=GREY, linestyle="--", linewidth=1, zorder=1)
    models = [model for model in COLOURS if model in set(part["model"])]
    for place, model in enumerate(models):
        rows = rows_where(part, model=model).set_index("cell").reindex(cells)
        shift = 0.24 * (place - (len(models) - 1) / 2)
        x = np.arange(len(cells)) + shift
        if place == 0:
            height = rows["band_high"] - rows["band_low"]
            axes.bar(np.arange(len(cells)), height, bottom=rows["band_low"], width=0.8, color="#DDDDDD",
                     label="95 % of cells of that size", zorder=0)  # fmt: skip
        axes.plot(x, rows["coverage"], MARKERS[model], color=COLOURS[model], label=model, zorder=3)
        worst = rows["worst"].to_numpy(dtype=bool, na_value=False)
        axes.plot(x[worst], rows["coverage"][worst], "o", color=COLOURS[model], markersize=12, fillstyle="none",
                  markeredgewidth=1.2, zorder=2)  # fmt: skip
    crowded = max(map(len, cells), default=0) > 3
    axes.set_xticks(
        np.arange(len(cells)), cells, rotation=45 if crowded else 0, ha="right" if crowded else "center"
    )
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.grid(axis="y")
