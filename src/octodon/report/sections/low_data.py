"""Accuracy against the amount of training data, where the run is part of a sweep."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from octodon.report.blocks import Figure, Key, Panel, Section, data_file, links
from octodon.report.inline import draw
from octodon.report.results import RunResults
from octodon.report.style import COLOURS, LINES, MARKERS, NAMES, rows_where
from octodon.report.sweep import draw_curve, draw_fractions

_QUANTITIES = {"activity": "test r with measured activity", "epistemic": "r of the epistemic stds"}


def low_data_section(run: RunResults) -> Section | None:
    """Return the section; None outside a sweep."""
    if run.sweep is None:
        return None
    rows = rows_where(run.sweep, split="test", metric="pearson")
    fractions = np.unique(rows["fraction"].to_numpy(np.float64))
    panels = []
    for quantity, label in _QUANTITIES.items():
        for target in run.targets:
            part = rows_where(rows, quantity=quantity, target=target)
            if part.empty:
                continue

            def paint(axes: Axes, part: pd.DataFrame = part, label: str = label) -> None:
                for model in COLOURS:
                    draw_curve(axes, rows_where(part, model=model), model)
                draw_fractions(axes, fractions)
                axes.set_xlabel("share of the training set")
                axes.set_ylabel(label)

            says = f"{target}: {label} at {len(fractions)} shares of the training set"
            name = f"sweep-{quantity}-{run.targets.index(target)}"
            panels.append(Panel(title=f"{target}: {quantity}", svg=draw(name, says, paint)))
    shown = [model for model in COLOURS if model in set(rows["model"])]
    legend = [Key(label=NAMES[m], colour=COLOURS[m], marker=MARKERS[m], line=LINES[m]) for m in shown]
    figure = Figure(
        title="Along the size of the training set",
        panels=panels,
        caption="Lines join means over networks, bands are one standard deviation. A curve that still rises at 100 % says that "
        "more data help.",
        legend=legend,
        data=links(data_file(rows, "sweep.tsv", "../results/metrics.tsv")),
    )
    return Section(
        anchor="low-data",
        title="With less data",
        lead="The same experiment on nested parts of the training set; validation and test stay whole.",
        blocks=[figure],
    )
