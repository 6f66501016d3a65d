"""Accuracy against the amount of training data: individual members, their ensemble, and the student."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from octodon.errors import DataError
from octodon.report.style import COLOURS, LINES, MARKERS, NAMES, panels, rows_where, save_figure, styled

_NAMES = {"pearson": "Pearson r", "spearman": "Spearman rho", "mse": "mean squared error"}
_AGAINST = {
    "activity": "to measured activity",
    "epistemic": "to the ensemble's std",
}


def sweep_figure(
    metrics: pd.DataFrame, out: Path, units: str = "activity", *, metric: str = "pearson", split: str = "test"
) -> None:
    """Draw the curves of a sweep: one column per target; activity above, epistemic std below.

    Lines join the means over networks. The band is mean +- sd over networks (``correction=1``), the dots are
    the networks themselves. Epistemic std is scored against the ensemble's, so only the student has a curve
    there.

    Parameters
    ----------
    metrics : DataFrame
        Tidy metrics with a further column ``fraction``: share of the training set, above 0 and at most 1.
    out : Path
        .svg or .png.
    units : str
        Unit of the targets, shown where the metric has one (mse: its square).
    metric, split : str
        What is drawn.

    Raises
    ------
    DataError
        No column ``fraction``, or no row of that split and metric.
    """
    if "fraction" not in metrics.columns:
        raise DataError(
            f"sweep figure: no column 'fraction'; found {', '.join(map(str, metrics.columns))}; "
            "give the metrics of a sweep"
        )
    chosen = rows_where(metrics, split=split, metric=metric)
    rows = [quantity for quantity in _AGAINST if quantity in set(chosen["quantity"])]
    if not rows:
        raise DataError(
            f"sweep figure: no {metric!r} of split {split!r} in the metrics; evaluate that split first"
        )
    targets = list(dict.fromkeys(chosen["target"]))
    fractions = np.unique(chosen["fraction"].to_numpy(np.float64))
    unit = f"\n({units}, squared)" if metric == "mse" else ""
    with styled():
        figure, grid = panels(len(rows), len(targets))
        for row, quantity in enumerate(rows):
            for column, target in enumerate(targets):
                axes = grid[row][column]
                for model in COLOURS:
                    part = rows_where(chosen, quantity=quantity, target=target, model=model)
                    draw_curve(axes, part, model)
                draw_fractions(axes, fractions)
                axes.set_title(f"{target}: {quantity}")
            grid[row][0].set_ylabel(f"{_NAMES.get(metric, metric)} {_AGAINST[quantity]}{unit}")
            _share_limits(grid[row])
        for axes in grid[-1]:
            axes.set_xlabel("share of the training set")
        figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        save_figure(figure, out)


def draw_curve(axes: Axes, part: pd.DataFrame, model: str) -> None:
    """Draw one model: mean over networks, band of one sd, and each network as a dot."""
    if part.empty:
        return
    x, values = (part[name].to_numpy(np.float64) for name in ("fraction", "value"))
    fractions = np.unique(x)
    groups = [values[x == fraction] for fraction in fractions]
    mean = np.array([group.mean() for group in groups])
    n = max(len(group) for group in groups)
    colour = COLOURS[model]
    axes.plot(
        fractions,
        mean,
        color=colour,
        marker=MARKERS[model],
        linestyle=LINES[model],
        label=f"{NAMES[model]} (mean of {n} ± sd)" if n > 1 else NAMES[model],
        zorder=3,
    )
    if n > 1:
        sd = np.array([np.std(group, correction=1) if len(group) > 1 else 0.0 for group in groups])
        axes.fill_between(fractions, mean - sd, mean + sd, color=colour, alpha=0.18, linewidth=0)
        axes.plot(x, values, ".", color=colour, alpha=0.45, markersize=3.5, zorder=2)


def draw_fractions(axes: Axes, fractions: np.ndarray) -> None:
    """Give the horizontal axis ticks at the fractions, in percent."""
    axes.set_xlim(0, 1.05 * fractions[-1])
    # Ticks at the fractions themselves, unless they would run into each other.
    if len(fractions) <= 8 and (np.diff(fractions) >= 0.09 * fractions[-1]).all():
        axes.set_xticks(fractions)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None))
    axes.grid(axis="y")


def _share_limits(row: list[Axes]) -> None:
    """Give all targets of a row the same scale, so that panels can be compared."""
    limits = np.array([axes.get_ylim() for axes in row])
    for axes in row:
        axes.set_ylim(limits[:, 0].min(), limits[:, 1].max())
