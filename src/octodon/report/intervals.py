"""Intervals against what was measured: coverage against size, accuracy against coverage, observed against promised."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from octodon.errors import DataError
from octodon.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MARKERS,
    ORANGE,
    panels,
    rows_where,
    save_figure,
    styled,
)

# What makes the interval: its colour, its marker along the level, its line, its name.
QUANTITIES = {
    "aleatoric": (ORANGE, "o", ":", "aleatoric alone"),
    "epistemic": (BLUE, "^", "-.", "epistemic alone"),
    "total": (BLACK, "s", "--", "total, as the model gives it"),
    "calibrated": (GREEN, "D", "-", "calibrated"),
    "constant": (GREY, "v", (0, (1, 1)), "constant width (split conformal)"),
}
_MARKED = (0.5, 0.8, 0.9, 0.95)
_COLUMNS = ("model", "index", "target", "quantity", "method", "level", "coverage", "width", "pearson")


def intervals_figure(
    curves: pd.DataFrame, out: Path, units: str = "activity", *, student: int = 0, level: float = 0.95
) -> None:
    """Draw two panels per target: coverage against interval size, and accuracy against coverage.

    Left: along each line the level grows; markers at 0.5, 0.8, 0.9 and 0.95, thin ticks on the right at these levels,
    which a calibrated interval of that level reaches. Up and to the left is better. Right: each mark is one model, its
    Pearson r against the coverage of its intervals of one level; on the dashed line the level is kept.

    Parameters
    ----------
    curves : DataFrame
        Of ``octodon.metrics.curves.interval_curves``, with further rows of the quantity "constant" if wanted.
    out : Path
        .svg or .png.
    units : str
        Unit of the targets.
    student : int
        Index of the student whose curves are drawn on the left; the ensemble's, where there is no student.
    level : float
        Of the right panel.

    Raises
    ------
    DataError
        A column is missing, or there is no row.
    """
    _need(curves)
    targets = list(dict.fromkeys(curves["target"]))
    with styled():
        figure, grid = panels(len(targets), 2, size=(3.9, 3.1))
        for row, target in zip(grid, targets, strict=True):
            part = rows_where(curves, target=target)
            one = one_model(part, student)
            draw_coverage_against_size(row[0], one, units)
            row[0].set_title(f"{target}: {one['model'].iloc[0]}")
            draw_accuracy_against_coverage(row[1], part, level)
            row[1].set_title(f"{target}: all models")
        figure.legend(handles=_legend(curves), loc="outside lower center", ncols=3)
        save_figure(figure, out)


def reliability_figure(curves: pd.DataFrame, out: Path, *, student: int = 0) -> None:
    """Draw observed coverage against the level, one panel per target; above the diagonal intervals are too wide.

    Raises
    ------
    DataError
        A column is missing, or there is no row.
    """
    _need(curves)
    targets = list(dict.fromkeys(curves["target"]))
    with styled():
        figure, grid = panels(1, len(targets), size=(3.4, 3.2))
        for axes, target in zip(grid[0], targets, strict=True):
            one = one_model(rows_where(curves, target=target), student)
            axes.axline((0, 0), slope=1, color=GREY, linewidth=1, zorder=1)
            for quantity, line in lines_of(one):
                draw_line(axes, line, "level", quantity)
            axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="level promised")
            axes.set_title(f"{target}: {one['model'].iloc[0]}")
            percent(axes.xaxis, axes.yaxis)
            axes.grid()
        grid[0][0].set_ylabel("measured values inside")
        figure.legend(handles=_legend(curves, models=False), loc="outside lower center", ncols=2)
        save_figure(figure, out)


def draw_coverage_against_size(axes: Axes, one: pd.DataFrame, units: str) -> None:
    """Draw coverage along the mean size of one model's intervals."""
    for quantity, line in lines_of(one):
        draw_line(axes, line, "width", quantity)
    for level in _MARKED:
        axes.axhline(level, color=GREY, linewidth=0.5, linestyle=":", zorder=1)
    axes.set(ylim=(0, 1), xlabel=f"mean interval size ({units})", ylabel="measured values inside")
    axes.set_xlim(left=0)
    percent(axes.yaxis)
    axes.grid(axis="x")


def draw_accuracy_against_coverage(axes: Axes, part: pd.DataFrame, level: float) -> None:
    """Draw one mark per model: Pearson r of its mean against the coverage of its intervals of one level."""
    for quantity, (colour, *_) in QUANTITIES.items():
        for model, marker in MARKERS.items():
            chosen = rows_where(part, quantity=quantity, model=model, level=level)
            if quantity == "constant" or chosen.empty:
                continue
            size, alpha = (5.0, 0.75) if model == "individual" else (7.5, 0.95)
            axes.plot(
                chosen["coverage"], chosen["pearson"], marker, color=colour, markersize=size, alpha=alpha,
                markeredgecolor="white", markeredgewidth=0.6,
            )  # fmt: skip
    axes.axvline(level, color=GREY, linestyle="--", linewidth=1, zorder=1)
    axes.set(xlabel=f"measured values inside, level {level:g}", ylabel="Pearson r of the mean")
    axes.set_xlim(0, 1.02)
    percent(axes.xaxis)
    axes.grid()


def draw_line(axes: Axes, line: pd.DataFrame, along: str, quantity: str) -> None:
    """Draw coverage along the level or the width."""
    colour, marker, dashes, _ = QUANTITIES[quantity]
    marked = line.loc[line["level"].isin(_MARKED)]
    axes.plot(line[along], line["coverage"], color=colour, linestyle=dashes, zorder=2)
    axes.plot(marked[along], marked["coverage"], marker, color=colour, markersize=4.5, zorder=3)


def lines_of(one: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return what makes an interval, with its rows in order of the level."""
    lines = [(q, rows_where(one, quantity=q).sort_values("level")) for q in QUANTITIES]
    return [(quantity, line) for quantity, line in lines if not line.empty]


def one_model(part: pd.DataFrame, student: int) -> pd.DataFrame:
    """Return the rows of one student; of the ensemble, or of any model, where there is no student; none of none."""
    if part.empty:
        return part
    one = rows_where(part, model="student", index=student)
    if not one.empty:
        return one
    ensemble = rows_where(part, model="ensemble")
    return ensemble if not ensemble.empty else rows_where(part, model=part["model"].iloc[0])


def _legend(curves: pd.DataFrame, models: bool = True) -> list[Line2D]:
    present = set(curves["quantity"])
    methods = sorted(set(rows_where(curves, quantity="calibrated")["method"]))
    handles = []
    for quantity, (colour, marker, dashes, name) in QUANTITIES.items():
        if quantity in present:
            text = f"{name} ({', '.join(methods)})" if quantity == "calibrated" else name
            handles.append(
                Line2D([], [], color=colour, marker=marker, linestyle=dashes, markersize=4.5, label=text)
            )
    if models:
        shown = [model for model in MARKERS if model in set(curves["model"])]
        handles += [
            Line2D([], [], color=GREY, marker=MARKERS[m], linestyle="none", label=f"right: {m}")
            for m in shown
        ]
    return handles


def _need(curves: pd.DataFrame, columns: Sequence[str] = _COLUMNS) -> None:
    missing = [name for name in columns if name not in curves.columns]
    if missing or curves.empty:
        raise DataError(
            f"interval figure: {len(curves)} rows, no column {missing}; expected {', '.join(columns)}; give the curves of at "
            f"least one model"
        )


def percent(*axes: object) -> None:
    """Write the ticks of these axes in percent."""
    for axis in axes:
        axis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))  # type: ignore[attr-defined]  # XAxis, YAxis
