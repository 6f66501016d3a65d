"""The attribution study in two figures: how like the ensemble's maps are, and how much they vary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from octodon.report.style import BLUE, COLOURS, GREY, panels, rows_where, save_figure, styled

LABELS = {
    "rmse": "RMSE (units of the map)",
    "cosine": "cosine of maps",
    "pearson": "Pearson r of contributions",
    "variability": "variability (units of the map)",
    "variability_scale_free": "variability of maps of norm 1",
}
_REFERENCES = ("ensemble", "leave-one-out")


def similarity_figure(per_sequence: pd.DataFrame, out: Path) -> None:
    """Draw boxes over sequences: single members and students, against the ensemble's average and leave-one-out averages.

    One row per target, one column per measure; whiskers at the 5th and 95th percentile.

    Raises
    ------
    ConfigError, RunError
        As ``save_figure``.
    """
    targets = list(dict.fromkeys(per_sequence["target"]))
    measures = [name for name in ("rmse", "cosine", "pearson") if name in set(per_sequence["measure"])]
    with styled():
        figure, grid = panels(len(targets), len(measures))
        for row, target in zip(grid, targets, strict=True):
            for axes, measure in zip(row, measures, strict=True):
                draw_boxes(axes, rows_where(per_sequence, target=target, measure=measure))
                axes.set_title(target)
                axes.set_ylabel(LABELS[measure])
        save_figure(figure, out)


def draw_boxes(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw boxes over sequences of individual and student, against each reference."""
    values, colours, labels = [], [], []
    for reference in _REFERENCES:
        some = rows_where(rows, reference=reference)
        for role in ("individual", "student"):
            values.append(some[role].to_numpy())
            colours.append(COLOURS[role])
            labels.append(f"{role}\n{reference}")
    boxes = axes.boxplot(values, whis=(5, 95), showfliers=False, patch_artist=True, widths=0.6)
    for patch, colour in zip(boxes["boxes"], colours, strict=True):
        patch.set(facecolor=colour, alpha=0.75)
    for line in boxes["medians"]:
        line.set_color("black")
    axes.set_xticks(range(1, len(labels) + 1), labels, fontsize=6)


def variability_figure(per_sequence: pd.DataFrame, out: Path) -> None:
    """Draw members against students sequence by sequence; the dashed line is equality.

    Variability, as published and scale-free; with one student, which has no variability, the leave-one-out cosine.

    Raises
    ------
    ConfigError, RunError
        As ``save_figure``.
    """
    targets = list(dict.fromkeys(per_sequence["target"]))
    shown = [
        name for name in ("variability", "variability_scale_free") if name in set(per_sequence["measure"])
    ]
    wanted = [(name, "own kind") for name in shown] or [("cosine", "leave-one-out")]
    with styled():
        figure, grid = panels(len(targets), len(wanted), size=(3.2, 3.2))
        for row, target in zip(grid, targets, strict=True):
            for axes, (measure, reference) in zip(row, wanted, strict=True):
                draw_pairs(
                    axes, rows_where(per_sequence, target=target, measure=measure, reference=reference)
                )
                axes.set_title(f"{target}: {LABELS[measure]}")
        save_figure(figure, out)


def draw_pairs(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw single members against students, one point a sequence; on the dashed line both are equal."""
    x, y = rows["individual"].to_numpy(), rows["student"].to_numpy()
    low, high = float(np.nanmin([x, y])), float(np.nanmax([x, y]))
    margin = 0.04 * (high - low) or 1.0
    axes.axline((low, low), slope=1, color=GREY, linestyle="--", linewidth=1, zorder=1)
    axes.scatter(x, y, s=6, color=BLUE, linewidths=0, alpha=0.6, rasterized=True, zorder=2)
    axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal")
    axes.set_xlabel("single members")
    axes.set_ylabel("students")
    axes.text(0.04, 0.97, f"below the line: {np.mean(y < x):.0%}", transform=axes.transAxes, va="top")
