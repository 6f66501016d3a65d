"""The panel on attribution: whether students' maps are nearer to the ensemble's than those of single networks, and steadier."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from octodon.report.attribution import LABELS, draw_boxes, draw_pairs
from octodon.report.blocks import Figure, Key, Panel, Section, data_file, links
from octodon.report.inline import draw
from octodon.report.published import fallback_notes
from octodon.report.reproduction.numbers import numbers_table
from octodon.report.reproduction.record import Reproduction
from octodon.report.reproduction.words import in_place_sentence
from octodon.report.style import COLOURS, rows_where


def attribution_section(one: Reproduction, table: pd.DataFrame) -> Section | None:
    """Return the section; None without a study."""
    per_sequence = one.run.attribution_per_sequence
    if per_sequence is None:
        return None
    notes = "; ".join(fallback_notes(one.run))
    figure = Figure(
        panels=_panels(one, per_sequence),
        caption=f"Method {one.method}{f' ({notes})' if notes else ''}; test sequences of highest measured activity. Likeness: root mean squared difference to the average map of the ensemble, "
        "lower is nearer. Variability over networks of a kind: below the dashed line students vary less. In the table both as published: the median likeness is that of "
        "the networks, each the mean over its sequences; a variance is divided by the number of networks, of 10 (in the figure by one less)."
        + in_place_sentence(one),
        legend=[Key(label=m, colour=COLOURS[m], marker="bar") for m in ("individual", "student")],
        data=links(data_file(per_sequence, "attribution_per_sequence.tsv")),
    )
    return Section(
        anchor="attribution",
        title="Attribution",
        lead="Which bases explain a prediction: are students nearer to what the ensemble says than single networks are, and steadier?",
        blocks=[figure, numbers_table(one, table, "attribution")],
    )


def _panels(one: Reproduction, per_sequence: pd.DataFrame) -> list[Panel]:
    """Return likeness of each target, and variability where there are several students."""
    panels = []
    for place, target in enumerate(one.run.targets):
        of_target = rows_where(per_sequence, target=target)
        panels.append(_likeness(one, rows_where(of_target, measure="rmse"), place, target))
        pairs = rows_where(of_target, measure="variability")
        if not pairs.empty:
            panels.append(_variability(one, pairs, place, target))
    return panels


def _likeness(one: Reproduction, rows: pd.DataFrame, place: int, target: str) -> Panel:
    says = f"{target}: distance of attribution maps to the ensemble's, median of students {rows['student'].median():.4g}"
    svg = draw(f"maps-{place}", says, partial(_draw_distances, rows=rows))
    return Panel(title=f"{one.name_of(target)}: likeness", svg=svg)


def _draw_distances(axes: Axes, rows: pd.DataFrame) -> None:
    draw_boxes(axes, rows)
    axes.set_ylabel(LABELS["rmse"])


def _variability(one: Reproduction, pairs: pd.DataFrame, place: int, target: str) -> Panel:
    below = (pairs["student"] < pairs["individual"]).mean()
    says = f"{target}: variability of attribution maps, students below single networks for {below:.0%} of the sequences"
    svg = draw(f"vary-{place}", says, partial(draw_pairs, rows=pairs), (3.3, 3.3))
    return Panel(title=f"{one.name_of(target)}: variability", svg=svg)
