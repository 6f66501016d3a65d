"""Point by point: measured against predicted activity, and the ensemble's spread against the student's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy import ndarray
from scipy.ndimage import gaussian_filter

from octodon.errors import DataError
from octodon.metrics.pearson import pearson
from octodon.records import Prediction
from octodon.report.style import GREY, panels, save_figure, styled

# Dark = many points. One hue from light to dark keeps its order in grey and for every eye.
_DENSITY = LinearSegmentedColormap.from_list("density", ["#9CC9E8", "#2E86C1", "#0B4F80", "#04223B"], N=32)

# Beyond this dots hide each other, and their pixels weigh more than those of hexagons.
_MOST_DOTS = 4000


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """One row of panels: what is on either axis."""

    x: ndarray
    y: ndarray
    x_label: str
    y_label: str
    title: str
    from_zero: bool


def scatter_figure(
    student: Prediction,
    measured: Float[ndarray, "n t"],
    ensemble: Prediction | None,
    out: Path,
    units: str = "activity",
) -> None:
    """Draw one column per target: measured against the student's mean, then the two epistemic stds.

    Both axes of a panel have the same scale; the dashed line is equality. Darker = more points; hexagons
    instead of dots where there are very many. They are pixels inside the SVG (its size does not grow with
    their number), everything else stays text and lines.

    Parameters
    ----------
    student : Prediction
    measured : (n, t) array
        In the units of the targets; NaN = missing, left out and counted in the panel.
    ensemble : Prediction or None
        Same ids in the same order; None leaves out the lower row.
    out : Path
        .svg or .png.
    units : str
        Unit of the targets, for the axes.

    Raises
    ------
    DataError
        Shapes, ids or targets do not match, or a prediction is not finite.
    """
    if measured.shape != student.mean.shape:
        raise DataError(
            f"scatter figure: measured has shape {measured.shape}, predicted {student.mean.shape}; "
            "expected the same (rows, targets); take both from the same examples"
        )
    rows = [
        _Panel(
            x=measured,
            y=student.mean,
            x_label=f"measured ({units})",
            y_label=f"student mean ({units})",
            title="activity",
            from_zero=False,
        )
    ]
    if ensemble is not None:
        _same_rows(student, ensemble)
        if ensemble.epistemic_std is not None and student.epistemic_std is not None:
            rows.append(
                _Panel(
                    x=ensemble.epistemic_std,
                    y=student.epistemic_std,
                    x_label=f"ensemble epistemic std ({units})",
                    y_label=f"student epistemic std ({units})",
                    title="epistemic",
                    from_zero=True,
                )
            )
    with styled():
        figure, grid = panels(len(rows), len(student.target_names), size=(3.2, 3.2))
        for axes, panel in zip(grid, rows, strict=True):
            _row(axes, panel, student.target_names)
        save_figure(figure, out)


def _same_rows(student: Prediction, ensemble: Prediction) -> None:
    if ensemble.target_names != student.target_names or not np.array_equal(ensemble.ids, student.ids):
        raise DataError(
            f"scatter figure: ensemble ({len(ensemble.ids)} rows, targets {ensemble.target_names}) and "
            f"student ({len(student.ids)} rows, targets {student.target_names}) differ in ids or targets; "
            "expected the same in the same order; predict the same sequences"
        )


def _row(row: Sequence[Axes], panel: _Panel, target_names: Sequence[str]) -> None:
    r = pearson(panel.y, panel.x)
    for t, (axes, target) in enumerate(zip(row, target_names, strict=True)):
        present = ~np.isnan(panel.x[:, t])
        x, y = panel.x[present, t].astype(np.float64), panel.y[present, t].astype(np.float64)
        axes.set_title(f"{target}: {panel.title}")
        axes.set_xlabel(panel.x_label)
        if t == 0:
            axes.set_ylabel(panel.y_label)
        missing = len(present) - len(x)
        write_r(axes, r[t], f"{len(x):,}" + (f" ({missing:,} missing)" if missing else ""))
        draw_points(axes, x, y, panel.from_zero)


def write_r(axes: Axes, r: float, n: str) -> None:
    """Write into the upper left corner how points correlate, and how many they are."""
    said = "r undefined" if np.isnan(r) else f"r = {r:.3f}"
    axes.text(0.04, 0.97, f"{said}\nn = {n}", transform=axes.transAxes, va="top", zorder=4)


def draw_points(axes: Axes, x: ndarray, y: ndarray, from_zero: bool) -> None:
    """Draw points, darker where there are more, or hexagons where there are very many, and the line of equality; nothing of none."""
    if not len(x):
        return
    low = 0.0 if from_zero else min(x.min(), y.min())
    high = max(x.max(), y.max())
    margin = 0.04 * (high - low) or 1.0
    limits = (low - (0.0 if from_zero else margin), high + margin)
    axes.axline((low, low), slope=1, color=GREY, linestyle="--", linewidth=1, zorder=1)
    if len(x) > _MOST_DOTS:
        axes.hexbin(
            x,
            y,
            gridsize=55,
            extent=(*limits, *limits),
            bins="log",
            mincnt=1,
            cmap=_DENSITY,
            linewidths=0,
            antialiased=False,  # few colours: a small file; and no light seams between hexagons
            rasterized=True,
            zorder=2,
        )
    else:
        density = _density(x, y, limits)
        order = np.argsort(density, kind="stable")  # the densest on top
        size = float(np.clip(8000 / len(x), 2.5, 12))
        axes.scatter(
            x[order],
            y[order],
            c=density[order],
            cmap=_DENSITY,
            s=size,
            linewidths=0,
            rasterized=True,
            zorder=2,
        )
    axes.set(xlim=limits, ylim=limits, aspect="equal")


def _density(x: ndarray, y: ndarray, limits: tuple[float, float], bins: int = 240) -> ndarray:
    """Return how crowded it is at each point: the root (for contrast) of a smoothed histogram."""
    counts, edges, _ = np.histogram2d(x, y, bins=bins, range=(limits, limits))
    smooth = gaussian_filter(counts, 4.0)
    place = [np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1) for values in (x, y)]
    return np.sqrt(smooth[place[0], place[1]])
