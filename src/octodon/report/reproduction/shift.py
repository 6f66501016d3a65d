"""The panel on shift: how far each model is from the ensemble on sequences unlike the training set."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from octodon.report.blocks import Figure, Panel, Section, data_file, links
from octodon.report.inline import draw
from octodon.report.published import SHIFTS
from octodon.report.reproduction.numbers import numbers_table
from octodon.report.reproduction.record import Reproduction
from octodon.report.reproduction.words import in_place_sentence, model_keys
from octodon.report.style import COLOURS, MARKERS, rows_where

_SIZES = list(SHIFTS.values())
# The ensemble is what the others are compared with.
_MODELS_APART = {"individual": -0.12, "student": 0.12}


def shift_section(one: Reproduction, table: pd.DataFrame) -> Section | None:
    """Return the section; None where no shift was examined."""
    rows = rows_where(table, panel="shift")
    if rows.empty:
        return None
    figure = Figure(
        panels=[_panel(one, rows, place, target) for place, target in enumerate(one.run.targets)],
        caption="Filled: here; hollow: published (median over 10 networks). Small: 5 % of the bases mutated; intermediate: two of EvoAug's deletion, translocation and "
        "mutation, where the published one draws from noise on the one-hot as well, so that its values do not stand beside; large: all bases shuffled. A single network is part of the ensemble it is compared with, which flatters it."
        + in_place_sentence(one),
        legend=model_keys(*_MODELS_APART),
        data=links(data_file(rows, "shift.tsv")),
    )
    return Section(
        anchor="shift",
        title="Under shift",
        lead="Test sequences made unlike the training set: how far each model is from the ensemble's mean, the only reference there is.",
        blocks=[figure, numbers_table(one, table, "shift")],
    )


def _panel(one: Reproduction, rows: pd.DataFrame, place: int, target: str) -> Panel:
    part = rows_where(rows, target=target)
    student = rows_where(part, model="student")[["condition", "ours"]].to_numpy()
    says = f"{target}: squared error of the student to the ensemble, " + ", ".join(
        f"{condition} {value:.3f}" for condition, value in student
    )
    svg = draw(f"shift-{place}", says, partial(_draw, rows=part, units=one.run.units))
    return Panel(title=one.name_of(target), svg=svg)


def _draw(axes: Axes, rows: pd.DataFrame, units: str) -> None:
    for model, apart in _MODELS_APART.items():
        line = rows_where(rows, model=model).set_index("condition").reindex(_SIZES)
        x = np.arange(len(_SIZES)) + apart
        look = {"color": COLOURS[model], "marker": MARKERS[model], "linestyle": "none", "markersize": 7}
        axes.plot(x, line["ours"], **look, zorder=3)
        axes.plot(x, line["published"], **look, fillstyle="none", zorder=2)
    axes.set_xticks(range(len(_SIZES)), [size.replace(" ", "\n", 1) for size in _SIZES])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("shift of the test sequences")
    axes.set_ylabel(f"squared error to the ensemble\n({units}, squared)")
    axes.grid(axis="y")
