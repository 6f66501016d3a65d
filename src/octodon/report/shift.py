"""Along the shift: error, doubt and intervals on sequences that are less and less like the training sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from octodon.errors import DataError
from octodon.metrics.summary import mean_of_all
from octodon.report.style import COLOURS, GREY, MARKERS, panels, rows_where, save_figure, styled

_LEVEL = 0.9
_ROW_INCHES = 0.22


def shift_figure(table: pd.DataFrame, out: Path, units: str = "activity") -> None:
    """Draw one row of panels per target, one line per set of sequences.

    Error against the ensemble's mean, mean epistemic std, coverage of 90 % intervals where something was measured, their
    width, and the share flagged as out of the distribution, if the models have a detector. Marks are means over the networks
    of a kind; a thin line joins the lowest and the highest.

    Parameters
    ----------
    table : DataFrame
        Of ``octodon.experiment.shift.evaluate_shift``.
    out : Path
        .svg or .png.
    units : str
        Unit of the targets.

    Raises
    ------
    DataError
        There is no row.
    """
    if table.empty:
        raise DataError("shift figure: no row; evaluate at least one set")
    sets = list(dict.fromkeys(table["split"]))
    targets = list(dict.fromkeys(rows_where(table, quantity="activity")["target"]))
    flagged = rows_where(table, quantity="ood", metric="flagged")
    count = 4 + (not flagged.empty)
    with styled():
        figure, grid = panels(len(targets), count, size=(2.5, 1.1 + _ROW_INCHES * len(sets)))
        for row, target in zip(grid, targets, strict=True):
            part = rows_where(table, target=target)
            _panel(
                row[0],
                part,
                sets,
                ["individual", "student"],
                quantity="activity",
                metric="mse",
                truth="ensemble",
            )
            _panel(row[1], part, sets, ["ensemble", "student"], quantity="epistemic", metric="mean")
            _intervals(row[2], rows_where(part, truth="measured"), sets, f"coverage_{_LEVEL:g}")
            widths = part.loc[(part["truth"] != "measured") & (part["model"] == "student")]
            _intervals(row[3], widths, sets, f"width_{_LEVEL:g}")
            if not flagged.empty:
                _panel(row[4], flagged, sets, ["ensemble", "student"], quantity="ood", metric="flagged")
            _label(row, sets, target, units)
        figure.legend(handles=_legend(), loc="outside lower center", ncols=5)
        save_figure(figure, out)


def _panel(axes: Axes, part: pd.DataFrame, sets: list[str], models: list[str], **which: str) -> None:
    """Draw one mark per model and set."""
    chosen = rows_where(part, **which)
    for place, model in enumerate(models):
        y = np.arange(len(sets)) + 0.24 * (place - (len(models) - 1) / 2)
        _marks(axes, rows_where(chosen, model=model), sets, y, model)


def _intervals(axes: Axes, part: pd.DataFrame, sets: list[str], metric: str) -> None:
    """Draw the student's own intervals, hollow, and the calibrated ones."""
    student = rows_where(part, model="student", metric=metric)
    own = next((q for q in ("total", "epistemic", "aleatoric") if q in set(student["quantity"])), "total")
    for quantity, shift in ((own, -0.12), ("calibrated", 0.12)):
        rows = rows_where(student, quantity=quantity)
        _marks(axes, rows, sets, np.arange(len(sets)) + shift, "student", hollow=quantity == own)


def _marks(
    axes: Axes, rows: pd.DataFrame, sets: list[str], y: np.ndarray, model: str, hollow: bool = False
) -> None:
    found = rows.groupby("split")["value"].agg([("mean", mean_of_all), "min", "max"]).reindex(sets)
    colour = COLOURS[model]
    axes.hlines(y, found["min"], found["max"], color=colour, linewidth=1, zorder=2)
    face = "white" if hollow else colour
    axes.plot(found["mean"], y, MARKERS[model], color=colour, markerfacecolor=face, zorder=3, clip_on=False)


def _label(row: list[Axes], sets: list[str], target: str, units: str) -> None:
    names = ["error to ensemble", "mean epistemic std", f"inside {_LEVEL:.0%} interval"]
    names += [f"width of {_LEVEL:.0%} interval", "flagged as unlike"]
    x_labels = [f"MSE, ({units})²", units, "measured values", units, "sequences"]
    for axes, name, x_label in zip(row, names, x_labels, strict=False):
        axes.set_title(f"{target}: {name}" if axes is row[0] else name, fontsize=8.5)
        axes.set_xlabel(x_label)
        axes.set_yticks(np.arange(len(sets)), sets if axes is row[0] else [])
        axes.set_ylim(len(sets) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.grid(axis="x")
    row[2].axvline(_LEVEL, color=GREY, linestyle="--", linewidth=1, zorder=1)
    row[2].set_xlim(0, 1.03)
    for axes in (row[2], *row[4:]):
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    for axes in row[4:]:
        axes.set_xlim(0, 1.03)


def _legend() -> list[Line2D]:
    handles = [
        Line2D([], [], color=COLOURS[model], marker=MARKERS[model], linestyle="none", label=model)
        for model in ("individual", "ensemble", "student")
    ]
    handles[-1].set_label("student (intervals: calibrated)")
    hollow = Line2D(
        [], [], color=COLOURS["student"], marker=MARKERS["student"], markerfacecolor="white", linestyle="none"
    )
    hollow.set_label("student, interval not calibrated")
    return [*handles, hollow]
