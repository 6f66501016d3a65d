"""The panel on calibration: how many measured values lie inside the intervals, and how large these are."""

from __future__ import annotations

from functools import partial

import pandas as pd

from octodon.report.blocks import Figure, Key, Panel, Section, Text, data_file, links
from octodon.report.inline import draw
from octodon.report.intervals import (
    QUANTITIES,
    draw_accuracy_against_coverage,
    draw_coverage_against_size,
    one_model,
)
from octodon.report.published import LEVEL, read_published
from octodon.report.reproduction.numbers import numbers_table
from octodon.report.reproduction.record import Reproduction
from octodon.report.reproduction.words import in_place_sentence
from octodon.report.style import GREY, MARKERS, NAMES, rows_where


def calibration_section(one: Reproduction, table: pd.DataFrame) -> Section | None:
    """Return the section; None where no interval was evaluated."""
    curves = one.run.curves
    if curves is None or curves.empty:
        return None
    curves = curves.loc[curves["quantity"] != "constant"]
    noise = (
        " The aleatoric std is that of the measured value, a mean of replicates; the poster's intervals take that of one replicate, and are wider."
        if "aleatoric" in set(curves["quantity"])
        else ""
    )
    figure = Figure(
        panels=_panels(one, curves),
        caption=f"Coverage against size: the student kept; markers at 50, 80, 90 and 95 %. Accuracy: each mark is one model, its r against the coverage of its {LEVEL:.0%} "
        "intervals; on the dashed line the level is kept." + noise + in_place_sentence(one),
        legend=_legend(set(curves["quantity"])),
        data=links(data_file(curves, "intervals.tsv")),
    )
    return Section(
        anchor="calibration",
        title="Calibration",
        lead="How many measured values lie inside the intervals of aleatoric, epistemic and total uncertainty, and how large these are. Calibrated "
        "intervals are ours, not the poster's.",
        blocks=[figure, numbers_table(one, table, "calibration"), _published(one)],
    )


def _panels(one: Reproduction, curves: pd.DataFrame) -> list[Panel]:
    panels = []
    for place, target in enumerate(one.run.targets):
        part = rows_where(curves, target=target)
        student = one_model(part, one.run.student)
        name = one.name_of(target)
        along = partial(draw_coverage_against_size, one=student, units=one.run.units)
        says = f"{target}: coverage of the student's intervals against their size"
        panels.append(Panel(title=f"{name}: coverage against size", svg=draw(f"size-{place}", says, along)))
        against = partial(draw_accuracy_against_coverage, part=part, level=LEVEL)
        says = f"{target}: accuracy of every model against the coverage of its {LEVEL:.0%} intervals"
        panels.append(Panel(title=f"{name}: accuracy", svg=draw(f"accuracy-{place}", says, against)))
    return panels


def _legend(present: set[str]) -> list[Key]:
    quantities = [
        Key(label=name, colour=colour, marker=marker, line=str(dashes))
        for quantity, (colour, marker, dashes, name) in QUANTITIES.items()
        if quantity in present
    ]
    models = [
        Key(label=f"accuracy: {NAMES[m]}", colour=GREY, marker=MARKERS[m])
        for m in ("individual", "ensemble", "student")
    ]
    return quantities + models


def _published(one: Reproduction) -> Text:
    """Return what is published of intervals: none of the method itself, but those of a baseline."""
    published = rows_where(read_published(), panel="calibration")
    sentences = []
    for target in one.published_as.values():
        part = rows_where(published, target=target)
        values = {row["metric"]: f"{row['value']:g} to {row['to']:g}" for row in part.to_dict("records")}
        if values:
            sentences.append(
                f"{target}: coverage {values['coverage']} at a width of {values['width']}, activity r {values['pearson']} "
                f"({part['note'].iloc[0]}; {part['basis'].iloc[0]})."
            )
    words = "No coverage and no width of the method's own intervals is published as a number."
    if sentences:
        words += f" Of a baseline, at level {LEVEL:.0%}: " + " ".join(sentences)
    return Text(text=words)
