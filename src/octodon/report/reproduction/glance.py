"""The figure beside the headline: the largest share of the training set, ours filled, published hollow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from octodon.report.blocks import Figure, Key, Panel, data_file, links
from octodon.report.inline import draw
from octodon.report.reproduction.record import Reproduction
from octodon.report.reproduction.words import in_place, number
from octodon.report.style import COLOURS, MARKERS, NAMES, rows_where

_MODELS = ("individual", "ensemble", "student")
_Place = tuple[str, str]
"""Target and quantity: a line of the figure."""


def glance(one: Reproduction, table: pd.DataFrame) -> Figure:
    """Return the figure."""
    rows = rows_where(table, panel="performance", metric="pearson")
    rows = rows.loc[rows["condition"] == rows["condition"].iloc[-1]]
    places = list(dict.fromkeys(zip(rows["target"], rows["quantity"], strict=True)))
    paint = partial(_draw, rows=rows, places=places)
    return Figure(
        title=f"{float(rows['condition'].iloc[0]):.0%} of the training set",
        panels=[Panel(title="", svg=draw("glance", _in_words(rows), paint, (5.0, 0.75 + 0.3 * len(places))))],
        caption=f"Filled: here{in_place(one)}. Hollow: published, on the full data.",
        legend=[Key(label=NAMES[m], colour=COLOURS[m], marker=MARKERS[m]) for m in _MODELS],
        data=links(data_file(table, "reproduction.tsv")),
    )


def _draw(axes: Axes, rows: pd.DataFrame, places: Sequence[_Place]) -> None:
    for place, (target, quantity) in enumerate(places):
        for model in _MODELS:
            part = rows_where(rows, target=target, quantity=quantity, model=model)
            look = {"color": COLOURS[model], "markersize": 7, "linestyle": "none", "marker": MARKERS[model]}
            axes.plot(part["ours"], [place] * len(part), **look, zorder=3)
            axes.plot(part["published"], [place] * len(part), **look, fillstyle="none", zorder=2)
    axes.set_yticks(range(len(places)), [f"{target}: {quantity}" for target, quantity in places])
    axes.set_ylim(len(places) - 0.45, -0.55)
    low = np.nanmin(rows[["ours", "published"]].to_numpy(np.float64))
    axes.set_xlim(min(0.0, float(low) - 0.03), 1.0)
    axes.set_xlabel("test Pearson r")
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _in_words(rows: pd.DataFrame) -> str:
    return "; ".join(
        f"{row['target']}, {row['model']}, {row['quantity']}: {number(row['ours'], '.3f')}, published {number(row['published'], '.3f')}"
        for row in rows.to_dict("records")
        if row["model"] in _MODELS
    )
