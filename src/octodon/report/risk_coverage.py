"""Risk against coverage: how the error falls when only the most certain predictions are kept."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from octodon.errors import DataError
from octodon.report.style import BLACK, BLUE, GREY, ORANGE, panels, rows_where, save_figure, styled

# What orders the predictions: colour, line, name.
_ORDERS = {
    "epistemic": (BLUE, "-", "by epistemic std"),
    "total": (BLACK, "--", "by total std"),
    "aleatoric": (ORANGE, "-.", "by aleatoric std"),
    "error": (GREY, ":", "by the error itself (the best possible)"),
}


def risk_coverage_figure(
    curves: pd.DataFrame, out: Path, units: str = "activity", *, student: int = 0
) -> None:
    """Draw the error of the kept predictions against their share, one row per target; a std without information is level.

    Left the ensemble, right the student; the thin line is the error of all predictions.

    Parameters
    ----------
    curves : DataFrame
        Of ``octodon.metrics.curves.risk_curves``.
    out : Path
        .svg or .png.
    units : str
        Unit of the targets.
    student : int
        Index of the student drawn.

    Raises
    ------
    DataError
        There is no row of an ensemble or of that student.
    """
    shown = {"ensemble": 0, "student": student}
    parts = {model: rows_where(curves, model=model, index=index) for model, index in shown.items()}
    parts = {model: part for model, part in parts.items() if not part.empty}
    if not parts:
        raise DataError(
            f"risk figure: no curve of an ensemble or of student {student}; give at least one model"
        )
    targets = list(dict.fromkeys(curves["target"]))
    with styled():
        figure, grid = panels(len(targets), len(parts), size=(3.6, 2.7))
        for row, target in zip(grid, targets, strict=True):
            for axes, (model, part) in zip(row, parts.items(), strict=True):
                _draw(axes, rows_where(part, target=target))
                axes.set_title(f"{target}: {model}")
                axes.sharey(row[0])
            row[0].set_ylim(bottom=0)
            row[0].set_ylabel(f"RMSE ({units})")
        for axes in grid[-1]:
            axes.set_xlabel("predictions kept, the most certain first")
        # the model with the most stds has all the names
        handles = max((axes.get_legend_handles_labels()[0] for row in grid for axes in row), key=len)
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
        save_figure(figure, out)


def _draw(axes: Axes, part: pd.DataFrame) -> None:
    for order, (colour, dashes, name) in _ORDERS.items():
        line = rows_where(part, order=order)
        if not line.empty:
            axes.plot(line["kept"], line["rmse"], color=colour, linestyle=dashes, label=name)
    axes.axhline(float(part["rmse"].iloc[-1]), color=GREY, linewidth=0.7, zorder=1)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.grid(axis="y")
