"""The panel on the amount of data: activity and uncertainty of every model, at each share of the training set."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy import ndarray

from octodon.report.blocks import Figure, Panel, Section, data_file, links
from octodon.report.inline import draw
from octodon.report.published import CLIPPED, performance_rows, read_published
from octodon.report.reproduction.numbers import numbers_table
from octodon.report.reproduction.record import Reproduction
from octodon.report.reproduction.words import in_place_sentence, model_keys
from octodon.report.style import COLOURS, MARKERS, rows_where
from octodon.report.sweep import draw_curve, draw_fractions

_MODELS = ("individual", "ensemble", "student")
_HOW_LIKE = {
    "activity": "test r with measured activity",
    "epistemic": "r with the ensemble's std",
    "aleatoric": "r with the replicates' std",
}


def performance_section(one: Reproduction, table: pd.DataFrame) -> Section:
    """Return the section."""
    rows = performance_rows(rows_where(one.sweep, split="test", metric="pearson"))
    clipped = (
        f" {CLIPPED}: so many test sequences, whose std a linear column put below 0, were cut there; the published r is of columns as they are."
        if CLIPPED in set(rows_where(table, panel="performance")["metric"])
        else ""
    )
    figure = Figure(
        panels=_panels(one, rows),
        caption="Full lines: here, means over networks, bands one standard deviation. Hollow and dotted: published, on the same shares of the full "
        "training set." + clipped + in_place_sentence(one),
        legend=model_keys(*_MODELS),
        data=links(data_file(rows, "performance.tsv")),
    )
    return Section(
        anchor="performance",
        title="Against the amount of data",
        lead="Activity and uncertainty of single networks, their ensemble and the student, with a part of the training set and all of it; "
        "the test set stays whole.",
        blocks=[figure, numbers_table(one, table, "performance")],
    )


def _panels(one: Reproduction, rows: pd.DataFrame) -> list[Panel]:
    """Return a panel per quantity and target that has one."""
    published = rows_where(read_published(), panel="performance")
    fractions = np.unique(rows["fraction"].to_numpy(np.float64))
    panels = []
    for quantity, label in _HOW_LIKE.items():
        for place, target in enumerate(one.run.targets):
            ours = rows_where(rows, quantity=quantity, target=target)
            if ours.empty:
                continue
            theirs = rows_where(published, quantity=quantity, target=one.published_as.get(target, ""))
            paint = partial(_draw, ours=ours, theirs=theirs, fractions=fractions, label=label)
            says = f"{target}: {label} at {len(fractions)} shares of the training set, ours and published"
            svg = draw(f"performance-{quantity}-{place}", says, paint)
            panels.append(Panel(title=f"{one.name_of(target)}: {quantity}", svg=svg))
    return panels


def _draw(axes: Axes, ours: pd.DataFrame, theirs: pd.DataFrame, fractions: ndarray, label: str) -> None:
    for model in _MODELS:
        draw_curve(axes, rows_where(ours, model=model), model)
        known = rows_where(theirs, model=model)
        x = known["condition"].astype(np.float64)
        axes.plot(x, known["value"], MARKERS[model], color=COLOURS[model], linestyle=":", linewidth=1,
                  markersize=6, fillstyle="none", zorder=2)  # fmt: skip
    draw_fractions(axes, fractions)
    axes.set_xlabel("share of the training set")
    axes.set_ylabel(label)
