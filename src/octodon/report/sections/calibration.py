"""Whether intervals hold: overall, along the level, and corner by corner."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from octodon.metrics.strata import FEWEST_ROWS
from octodon.report.blocks import Block, Figure, Key, Panel, Section, Table, Text, data_file, links
from octodon.report.coverage import draw_cells
from octodon.report.facts import cell_in_words
from octodon.report.inline import draw
from octodon.report.intervals import (
    QUANTITIES,
    draw_coverage_against_size,
    draw_line,
    lines_of,
    one_model,
    percent,
)
from octodon.report.results import RunResults
from octodon.report.style import BLUE, COLOURS, GREY, MARKERS, NAMES, as_percent, rows_where

_TITLES = {
    "activity": "by predicted activity",
    "epistemic": "by epistemic std",
    "ood": "by unlikeness to the training set",
}
_TENTHS = ("activity", "epistemic", "ood")


def calibration_section(run: RunResults) -> Section:
    """Return the section."""
    blocks: list[Block] = []
    if run.recalibrated:
        blocks.append(
            Text(
                text="The student was calibrated since then (octodon calibrate). This page is about the intervals that the run made; "
                "those that the student gives now were not judged."
            )
        )
    if run.curves is not None and not run.curves.empty:
        blocks.append(_along_the_level(run, run.curves))
    blocks += _made_of(run)
    cells = _cells(run)
    if cells is None:
        why = run.data.get("uncalibrated")
        blocks.append(
            Text(
                text=f"No interval of this run was calibrated{'' if why is None else f': {why}'}. Mend that and run again, or calibrate "
                "on rows that no network has seen: octodon calibrate."
            )
        )
    else:
        blocks += [_worst(run, cells), _by_cell(run, cells)]
    return Section(
        anchor="calibration",
        title="Calibration",
        lead=f"An interval of level {as_percent(run.level)} should hold {as_percent(run.level)} of the measured values: of all sequences, and of every "
        "kind of sequence. The narrowest that does is the best.",
        blocks=blocks,
    )


def _along_the_level(run: RunResults, curves: pd.DataFrame) -> Figure:
    panels = []
    for place, target in enumerate(run.targets):
        one = one_model(rows_where(curves, target=target), run.student).dropna(subset=["coverage"])
        if one.empty:  # never measured in the test split
            continue

        def reliability(axes: Axes, one: pd.DataFrame = one) -> None:
            axes.axline((0, 0), slope=1, color=GREY, linewidth=1, zorder=1)
            for quantity, line in lines_of(one):
                draw_line(axes, line, "level", quantity)
            axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="level promised", ylabel="measured values inside")
            percent(axes.xaxis, axes.yaxis)
            axes.grid()

        def size(axes: Axes, one: pd.DataFrame = one) -> None:
            draw_coverage_against_size(axes, one, run.units)

        kept = rows_where(one, quantity="calibrated", level=run.level)["coverage"]
        says = f"{target}: share of measured values inside, against the level promised"
        if len(kept):
            says += f"; calibrated: {kept.iloc[0]:.0%} at level {as_percent(run.level)}"
        panels.append(
            Panel(title=f"{target}: kept promises", svg=draw(f"reliability-{place}", says, reliability))
        )
        says = f"{target}: share of measured values inside, against the mean size of the interval"
        panels.append(Panel(title=f"{target}: at what size", svg=draw(f"size-{place}", says, size)))
    present = set(curves["quantity"])
    methods = ", ".join(sorted(set(rows_where(curves, quantity="calibrated")["method"])))
    legend = [
        Key(
            label=f"{name} ({methods})" if quantity == "calibrated" else name,
            colour=colour,
            marker=marker,
            line="-" if dashes == "-" else ":" if isinstance(dashes, tuple) else str(dashes),
        )
        for quantity, (colour, marker, dashes, name) in QUANTITIES.items()
        if quantity in present
    ]
    student = rows_where(curves, model="student", index=run.student)
    return Figure(
        title="Along the level",
        panels=panels,
        caption="Left of each pair: on the diagonal the promise is kept, above it intervals are too wide, below it too narrow. Right: the further "
        "up and to the left, the smaller the interval that holds as much. Markers at 50, 80, 90 and 95 %.",
        legend=legend,
        data=links(data_file(student, "intervals_test_student.tsv", "results/intervals_test.tsv")),
    )


def _made_of(run: RunResults) -> list[Table]:
    """Return what the calibrated variance consists of, where a method learnt that; no table where it did not."""
    rows = []
    counts = run.calibration.get("replicates") or [1] * len(run.targets)
    for one, replicates in zip(run.calibration["targets"], counts, strict=False):
        learnt = one["learnt"].get("scale", one["learnt"])
        if "constant_var" not in learnt:
            return []
        parts = [learnt["constant_var"]]
        for std, factor, share in (
            ("epistemic", learnt["epistemic"], 1),
            ("aleatoric", learnt["noise"], replicates),
        ):
            column = f"{one['name']}_{std}_std"
            known = column in run.predictions
            square = run.predictions[column].to_numpy(np.float64) ** 2 if known else np.zeros(1)
            parts.append(factor * float(square.mean()) / share)
        shares = [f"{part / sum(parts):.0%}" for part in parts]
        rows.append([one["name"], *shares[1:], shares[0]])
    return (
        [
            Table(
                caption="What the calibrated variance consists of, on average over test sequences",
                header=[
                    "target",
                    "epistemic std, scaled",
                    "aleatoric std, scaled",
                    "the same for every sequence",
                ],
                rows=rows,
                note="Learnt on the calibration rows. Where the last column has nearly all of it, the model's own stds say little about its errors, and "
                "intervals are of nearly one width.",
            )
        ]
        if rows
        else []
    )


def _cells(run: RunResults) -> pd.DataFrame | None:
    """Return the cells of ensemble and kept student at the run's level, or at the nearest that was evaluated."""
    if run.coverage is None:
        return None
    rows = rows_where(run.coverage, split="test")
    if rows.empty:
        return None
    levels = sorted(set(rows["level"]), key=lambda level: abs(level - run.level))
    rows = rows_where(rows, level=levels[0])
    rows = rows.loc[(rows["model"] != "student") | (rows["index"] == run.student)]
    return rows.loc[rows["stratum"] != "all"]


def _worst(run: RunResults, cells: pd.DataFrame) -> Table:
    rows = []
    student = rows_where(cells, model="student")
    for target in run.targets:
        part = rows_where(student, target=target)
        part = part.loc[part["n"] >= FEWEST_ROWS]
        outside = part.loc[(part["coverage"] < part["band_low"]) | (part["coverage"] > part["band_high"])]
        order = outside.assign(far=(outside["coverage"] - outside["level"]).abs()).sort_values(
            "far", ascending=False
        )
        for row in order.head(5).to_dict("records"):
            rows.append(
                [
                    target,
                    cell_in_words(row["stratum"], row["cell"]),
                    f"{row['n']:,}",
                    f"{row['coverage']:.0%}",
                    f"{row['band_low']:.0%} to {row['band_high']:.0%}",
                    "too narrow" if row["coverage"] < row["level"] else "wider than needed",
                ]
            )
        if order.empty:
            none = (
                f"no cell has {FEWEST_ROWS} sequences"
                if part.empty
                else "no cell lies outside what chance allows"
            )
            rows.append([target, none, "", "", "", ""])
    return Table(
        caption="Corners where the student's interval misses its level",
        header=["target", "where", "sequences", "inside", "chance allows", "intervals there are"],
        rows=rows,
        n_names=2,
        note="At most the five furthest per target. Among some thirty cells one or two lie outside by chance.",
    )


def _by_cell(run: RunResults, cells: pd.DataFrame) -> Figure:
    panels = []
    level = float(cells["level"].iloc[0])
    for place, target in enumerate(run.targets):
        own = rows_where(cells, target=target)
        if own.empty:  # never measured in the test split
            continue
        lowest = min(float(own["coverage"].to_numpy(np.float64).min()), level - 0.1)
        for number, stratum in enumerate(dict.fromkeys(cells["stratum"])):
            part = rows_where(cells, target=target, stratum=stratum)
            if part.empty:
                continue

            def paint(
                axes: Axes, part: pd.DataFrame = part, stratum: str = stratum, lowest: float = lowest
            ) -> None:
                draw_cells(axes, part, level)
                axes.set_ylim(lowest - 0.04, 1.02)
                axes.set_ylabel(f"inside their {as_percent(level)} interval")
                axes.set_xlabel("tenth (1 = lowest)" if stratum in _TENTHS else stratum)

            low = part.loc[part["coverage"].idxmin()]
            says = f"{target}, {_TITLES.get(stratum, f'by {stratum}')}: coverage per cell, lowest {low['coverage']:.0%} in cell {low['cell']}"
            name = f"cells-{place}-{number}"
            title = f"{target} {_TITLES.get(stratum, f'by {stratum}')}"
            panels.append(Panel(title=title, svg=draw(name, says, paint)))
    models = [model for model in COLOURS if model in set(cells["model"])]
    legend = [Key(label=NAMES[model], colour=COLOURS[model], marker=MARKERS[model]) for model in models]
    legend += [
        Key(label="worst cell of a model", colour=BLUE, marker="ring"),
        Key(label="95 % of cells of that size", colour="#DDDDDD", marker="bar"),
    ]
    return Figure(
        title="Corner by corner",
        panels=panels,
        caption="Intervals that hold overall may fail where you need them. The grey band is what chance allows. Tenths of predicted "
        "activity and of the epistemic std are each model's own.",
        legend=legend,
        data=links(data_file(cells, "coverage_test.tsv", "results/coverage.tsv")),
    )
