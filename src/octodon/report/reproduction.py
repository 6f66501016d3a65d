"""The page of a reproduction: the poster's panels in its order, with the published value beside each of ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from octodon.atomic import atomic_file, write_text
from octodon.metrics.summary import markdown_table
from octodon.report.attribution import LABELS, draw_boxes, draw_pairs
from octodon.report.blocks import (
    Block,
    Commands,
    Figure,
    Key,
    Panel,
    Section,
    Table,
    Text,
    data_file,
    links,
)
from octodon.report.findings import Claim, claims
from octodon.report.inline import draw
from octodon.report.intervals import (
    QUANTITIES,
    draw_accuracy_against_coverage,
    draw_coverage_against_size,
    one_model,
)
from octodon.report.page import render
from octodon.report.published import LEVEL, SHIFTS, against_published, performance_rows, read_published
from octodon.report.results import RunResults
from octodon.report.style import COLOURS, GREY, LINES, MARKERS, NAMES, rows_where
from octodon.report.sweep import draw_curve, draw_fractions

_HOW_LIKE = {
    "activity": "test r with measured activity",
    "epistemic": "r with the ensemble's std",
    "aleatoric": "r with the replicates' std",
}
_PANELS = {
    "performance": "Against the amount of data",
    "shift": "Under shift",
    "attribution": "Attribution",
    "calibration": "Calibration",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Reproduction:
    """What a reproduction left, and what it is a reproduction of.

    Attributes
    ----------
    title : str
        "DeepSTARR", "lentiMPRA, K562".
    scale : str
        "full" or "small".
    preset : str
    data : str
        What was measured, in words.
    stand_in : str
        What is said in every panel where other data stand in for the published; "" = they are those, or a sample.
    published_as : mapping of str to str
        Ours to published names of targets.
    method : str
        Of the attribution study.
    differs : sequence of (str, str, str)
        What, as published, and here.
    command : str
        That makes it again.
    run : RunResults
        Of the largest share of the training set.
    sweep : DataFrame
        Metrics of all shares, with a column ``fraction``.
    """

    title: str
    scale: str
    preset: str
    data: str
    stand_in: str
    published_as: Mapping[str, str]
    method: str
    differs: Sequence[tuple[str, str, str]]
    command: str
    run: RunResults
    sweep: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Return ours beside published."""
        return against_published(self.run, self.sweep, self.published_as, self.method)

    def name_of(self, target: str) -> str:
        """Return the target as panels name it."""
        return f"{target} ({self.stand_in})" if self.stand_in else target


def write_reproduction(one: Reproduction, out: Path) -> list[Path]:
    """Write ``reproduction.html``, ``.tsv`` (every number) and ``.md`` (findings and published numbers); return their paths.

    Raises
    ------
    RunError
        A file cannot be written.
    """
    paths = [out / f"reproduction.{suffix}" for suffix in ("html", "tsv", "md")]
    table = one.table()
    write_text(paths[0], reproduction_html(one))
    with atomic_file(paths[1]) as partial:
        table.to_csv(partial, sep="\t", index=False, float_format="%.6g", na_rep="", lineterminator="\n")
    write_text(paths[2], reproduction_markdown(one))
    return paths


def reproduction_markdown(one: Reproduction) -> str:
    """Return what the page says, without its figures."""
    table = one.table()
    parts = [f"# {one.title}, {one.scale} scale, preset {one.preset}\n", _summary(one) + "\n"]
    if one.stand_in:
        parts.append(f"Everywhere below, ours: {one.stand_in}.\n")
    found = claims(table)
    parts += [headline(found) + "\n", markdown_table([_CLAIM_HEADER, *_said(found)])]
    for panel, words in _PANELS.items():
        header, rows = _cells(rows_where(table, panel=panel))
        if rows:
            parts += [f"## {words}\n", markdown_table([header, *rows])]
    differs = [["what", "published", "here"], *([*line] for line in one.differs)]
    parts += ["## What is different from the published experiment\n", markdown_table(differs)]
    return "\n".join(parts)


def reproduction_lines(one: Reproduction) -> list[str]:
    """Return what ``octodon reproduce`` prints: the findings."""
    found = claims(one.table())
    lines = [headline(found)]
    for claim in found:
        verdict = "yes" if claim.holds else "NO "
        lines += [
            f"  {verdict} {claim.target}: {claim.text}",
            f"      ours: {claim.ours}; published: {claim.published}",
        ]
    return [*lines, f"Note: {one.stand_in}."] if one.stand_in else lines


def headline(found: Sequence[Claim]) -> str:
    """Return how many of the published findings hold."""
    holding = sum(claim.holds for claim in found)
    return f"{holding} of {len(found)} published findings hold here."


def reproduction_html(one: Reproduction) -> str:
    """Return the page."""
    table = one.table()
    found = claims(table)
    sections = [
        _findings(one, found),
        _performance(one, table),
        _shift(one, table),
        _attribution(one, table),
        _calibration(one, table),
        _made(one),
    ]
    return render(
        "sections.html",
        title=f"octodon: {one.title} reproduced",
        kicker="octodon reproduce",
        name=f"{one.title}, {one.scale} scale, preset {one.preset}",
        headline=headline(found),
        summary=_summary(one),
        beside=_glance(one, table),
        sections=[section for section in sections if section is not None],
    )


def _summary(one: Reproduction) -> str:
    train = one.run.data["splits"].get("train", 0)
    words = f"{one.title} from {one.data}: {train:,} training sequences of {one.run.data['length_bp']} bp."
    if one.scale == "full":
        return words
    return (
        words
        + " Published values are of the full data set and stand beside for orientation; what can be compared is the order of the models."
    )


def _glance(one: Reproduction, table: pd.DataFrame) -> Figure:
    """Return the largest share of the training set: ours filled, published hollow."""
    rows = rows_where(table, panel="performance")
    rows = rows.loc[rows["condition"] == rows["condition"].iloc[-1]]
    places = list(dict.fromkeys(zip(rows["target"], rows["quantity"], strict=True)))

    def paint(axes: Axes) -> None:
        for place, (target, quantity) in enumerate(places):
            for model in ("individual", "ensemble", "student"):
                part = rows_where(rows, target=target, quantity=quantity, model=model)
                look = {
                    "color": COLOURS[model],
                    "markersize": 7,
                    "linestyle": "none",
                    "marker": MARKERS[model],
                }
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

    words = "; ".join(
        f"{row['target']}, {row['model']}, {row['quantity']}: {_number(row['ours'], '.3f')}, published {_number(row['published'], '.3f')}"
        for row in rows.to_dict("records")
        if row["model"] in ("individual", "ensemble", "student")
    )
    return Figure(
        title="All of the training set",
        panels=[Panel(title="", svg=draw("glance", words, paint, (5.0, 0.75 + 0.3 * len(places))))],
        caption=f"Filled: here{_in_place(one)}. Hollow: published, on the full data.",
        legend=[
            Key(label=NAMES[m], colour=COLOURS[m], marker=MARKERS[m])
            for m in ("individual", "ensemble", "student")
        ],
        data=links(data_file(table, "reproduction.tsv")),
    )


def _findings(one: Reproduction, found: Sequence[Claim]) -> Section:
    table = Table(
        caption="Published findings, asked of our numbers",
        header=_CLAIM_HEADER,
        rows=_said(found),
        words=True,
    )
    return Section(
        anchor="findings",
        title="Do the findings hold?",
        lead="Each compares models with each other, so that it can hold at any size of the data; no test is applied to these differences.",
        blocks=[table],
    )


_MOST_OPEN = 8
"""Rows of a table that is shown unfolded."""
_CLAIM_HEADER = ["published finding", "target", "holds here", "ours", "published"]


def _said(found: Sequence[Claim]) -> list[list[str]]:
    return [
        [claim.text, claim.target, "yes" if claim.holds else "NO", claim.ours, claim.published]
        for claim in found
    ]


def _performance(one: Reproduction, table: pd.DataFrame) -> Section:
    rows = performance_rows(rows_where(one.sweep, split="test", metric="pearson"))
    published = rows_where(read_published(), panel="performance")
    fractions = np.unique(rows["fraction"].to_numpy(np.float64))
    shown = []
    for quantity, label in _HOW_LIKE.items():
        for place, target in enumerate(one.run.targets):
            part = rows_where(rows, quantity=quantity, target=target)
            if part.empty:
                continue
            known = rows_where(published, quantity=quantity, target=one.published_as.get(target, ""))

            def paint(
                axes: Axes, part: pd.DataFrame = part, known: pd.DataFrame = known, label: str = label
            ) -> None:
                for model in ("individual", "ensemble", "student"):
                    draw_curve(axes, rows_where(part, model=model), model)
                    theirs = rows_where(known, model=model)
                    x = theirs["condition"].astype(np.float64)
                    axes.plot(x, theirs["value"], MARKERS[model], color=COLOURS[model], linestyle=":", linewidth=1,
                              markersize=6, fillstyle="none", zorder=2)  # fmt: skip
                draw_fractions(axes, fractions)
                axes.set_xlabel("share of the training set")
                axes.set_ylabel(label)

            says = f"{target}: {label} at {len(fractions)} shares of the training set, ours and published"
            svg = draw(f"performance-{quantity}-{place}", says, paint)
            shown.append(Panel(title=f"{one.name_of(target)}: {quantity}", svg=svg))
    figure = Figure(
        panels=shown,
        caption="Full lines: here, means over networks, bands one standard deviation. Hollow and dotted: published, on the same shares of the full "
        "training set." + _in_place(one, sentence=True),
        legend=_models("individual", "ensemble", "student"),
        data=links(data_file(rows, "performance.tsv")),
    )
    return Section(
        anchor="performance",
        title="Against the amount of data",
        lead="Activity and uncertainty of single networks, their ensemble and the student, with a part of the training set and all of it; "
        "the test set stays whole.",
        blocks=[figure, _numbers(one, table, "performance")],
    )


def _shift(one: Reproduction, table: pd.DataFrame) -> Section | None:
    rows = rows_where(table, panel="shift")
    if rows.empty:
        return None
    sizes = list(SHIFTS.values())
    shown = []
    for place, target in enumerate(one.run.targets):
        part = rows_where(rows, target=target)

        def paint(axes: Axes, part: pd.DataFrame = part) -> None:
            for model, apart in (("individual", -0.12), ("student", 0.12)):
                line = rows_where(part, model=model).set_index("condition").reindex(sizes)
                x = np.arange(len(sizes)) + apart
                look = {
                    "color": COLOURS[model],
                    "marker": MARKERS[model],
                    "linestyle": "none",
                    "markersize": 7,
                }
                axes.plot(x, line["ours"], **look, zorder=3)
                axes.plot(x, line["published"], **look, fillstyle="none", zorder=2)
            axes.set_xticks(range(len(sizes)), sizes)
            axes.set_ylim(bottom=0)
            axes.set_xlabel("shift of the test sequences")
            axes.set_ylabel(f"squared error to the ensemble\n({one.run.units}, squared)")
            axes.grid(axis="y")

        said = rows_where(part, model="student")[["condition", "ours"]].to_numpy()
        says = f"{target}: squared error of the student to the ensemble, " + ", ".join(
            f"{c} {v:.3f}" for c, v in said
        )
        shown.append(Panel(title=one.name_of(target), svg=draw(f"shift-{place}", says, paint)))
    figure = Figure(
        panels=shown,
        caption="Filled: here; hollow: published (median over 10 networks). Small: 5 % of the bases mutated; intermediate: two EvoAug operations; large: all bases "
        "shuffled. A single network is part of the ensemble it is compared with, which flatters it."
        + _in_place(one, sentence=True),
        legend=_models("individual", "student"),
        data=links(data_file(rows, "shift.tsv")),
    )
    return Section(
        anchor="shift",
        title="Under shift",
        lead="Test sequences made unlike the training set: how far each model is from the ensemble's mean, the only reference there is.",
        blocks=[figure, _numbers(one, table, "shift")],
    )


def _attribution(one: Reproduction, table: pd.DataFrame) -> Section | None:
    per_sequence = one.run.attribution_per_sequence
    if per_sequence is None:
        return None
    shown = []
    for place, target in enumerate(one.run.targets):
        rows = rows_where(per_sequence, target=target, measure="rmse")
        name = one.name_of(target)

        def boxes(axes: Axes, rows: pd.DataFrame = rows) -> None:
            draw_boxes(axes, rows)
            axes.set_ylabel(LABELS["rmse"])

        says = f"{target}: distance of attribution maps to the ensemble's, median of students {rows['student'].median():.4g}"
        shown.append(Panel(title=f"{name}: likeness", svg=draw(f"maps-{place}", says, boxes)))
        pairs = rows_where(per_sequence, target=target, measure="variability")
        if pairs.empty:
            continue

        def against(axes: Axes, pairs: pd.DataFrame = pairs) -> None:
            draw_pairs(axes, pairs)

        below = (pairs["student"] < pairs["individual"]).mean()
        says = f"{target}: variability of attribution maps, students below single networks for {below:.0%} of the sequences"
        shown.append(
            Panel(title=f"{name}: variability", svg=draw(f"vary-{place}", says, against, (3.3, 3.3)))
        )
    figure = Figure(
        panels=shown,
        caption=f"Method {one.method}; test sequences of highest measured activity. Likeness: root mean squared difference to the average map of the ensemble, "
        "lower is nearer. Variability over networks of a kind: below the dashed line students vary less."
        + _in_place(one, sentence=True),
        legend=[Key(label=m, colour=COLOURS[m], marker="bar") for m in ("individual", "student")],
        data=links(data_file(per_sequence, "attribution_per_sequence.tsv")),
    )
    return Section(
        anchor="attribution",
        title="Attribution",
        lead="Which bases explain a prediction: are students nearer to what the ensemble says than single networks are, and steadier?",
        blocks=[figure, _numbers(one, table, "attribution")],
    )


def _calibration(one: Reproduction, table: pd.DataFrame) -> Section | None:
    curves = one.run.curves
    if curves is None or curves.empty:
        return None
    curves = curves.loc[curves["quantity"] != "constant"]
    shown = []
    for place, target in enumerate(one.run.targets):
        part = rows_where(curves, target=target)
        student = one_model(part, one.run.student)
        name = one.name_of(target)

        def along(axes: Axes, student: pd.DataFrame = student) -> None:
            draw_coverage_against_size(axes, student, one.run.units)

        def against(axes: Axes, part: pd.DataFrame = part) -> None:
            draw_accuracy_against_coverage(axes, part, LEVEL)

        says = f"{target}: coverage of the student's intervals against their size"
        shown.append(Panel(title=f"{name}: coverage against size", svg=draw(f"size-{place}", says, along)))
        says = f"{target}: accuracy of every model against the coverage of its {LEVEL:.0%} intervals"
        shown.append(Panel(title=f"{name}: accuracy", svg=draw(f"accuracy-{place}", says, against)))
    present = set(curves["quantity"])
    legend = [
        Key(label=name, colour=colour, marker=marker, line=str(dashes))
        for quantity, (colour, marker, dashes, name) in QUANTITIES.items()
        if quantity in present and quantity != "constant"
    ]
    legend += [
        Key(label=f"accuracy: {NAMES[m]}", colour=GREY, marker=MARKERS[m])
        for m in ("individual", "ensemble", "student")
    ]
    blocks: list[Block] = [
        Figure(
            panels=shown,
            caption=f"Coverage against size: the student kept; markers at 50, 80, 90 and 95 %. Accuracy: each mark is one model, its r against the coverage of its {LEVEL:.0%} "
            "intervals; on the dashed line the level is kept." + _in_place(one, sentence=True),
            legend=legend,
            data=links(data_file(curves, "intervals.tsv")),
        ),
        _numbers(one, table, "calibration"),
        *_anchors(one),
    ]
    return Section(
        anchor="calibration",
        title="Calibration",
        lead="How many measured values lie inside the intervals of aleatoric, epistemic and total uncertainty, and how large these are. Calibrated "
        "intervals are ours, not the poster's.",
        blocks=blocks,
    )


def _anchors(one: Reproduction) -> list[Block]:
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
    return [Text(text=words)]


def _made(one: Reproduction) -> Section:
    return Section(
        anchor="made",
        title="How it was made",
        lead="What is different from the published experiment, and how to make it again.",
        blocks=[
            Table(
                caption="Published, and here",
                header=["what", "published", "here"],
                rows=one.differs,
                words=True,
            ),
            Commands(
                rows=[
                    (one.command, "make or go on with it; what is finished is kept"),
                    (
                        f"open {one.run.folder}/report.html",
                        "the report of the run with the largest share of the training set",
                    ),
                ]
            ),
        ],
    )


def _numbers(one: Reproduction, table: pd.DataFrame, panel: str) -> Table:
    header, rows = _cells(rows_where(table, panel=panel))
    note = "Ours (published). Basis of the published: printed, or read off a figure, good to about four decimals unless said otherwise."
    return Table(
        caption="In numbers" + _in_place(one),
        header=header,
        rows=rows,
        n_names=3,
        note=note,
        folded=len(rows) > _MOST_OPEN,
    )


def _cells(rows: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of one panel: a line for each score, a column for each share, size of a shift, or the like."""
    conditions = list(dict.fromkeys(rows["condition"]))
    header = ["target", "model", "what", *conditions, "basis"]
    keys = ["target", "model", "quantity", "metric"]
    cells = []
    for name in dict.fromkeys(rows[keys].itertuples(index=False, name=None)):
        line = (
            rows_where(rows, **dict(zip(keys, name, strict=True))).set_index("condition").reindex(conditions)
        )
        values = [_beside(*both) for both in line[["ours", "published"]].to_numpy(np.float64)]
        basis = sorted({str(said) for said in line["basis"] if isinstance(said, str) and said})
        cells.append([name[0], name[1], f"{name[2]} {name[3]}", *values, ", ".join(basis) or "-"])
    return header, cells


def _beside(ours: float, published: float) -> str:
    return _number(ours) if math.isnan(published) else f"{_number(ours)} ({_number(published)})"


def _models(*names: str) -> list[Key]:
    return [Key(label=NAMES[m], colour=COLOURS[m], marker=MARKERS[m], line=LINES[m]) for m in names]


def _number(value: float, how: str = ".3g") -> str:
    return "-" if math.isnan(value) else format(value, how)


def _in_place(one: Reproduction, *, sentence: bool = False) -> str:
    if not one.stand_in:
        return ""
    return f" Ours: {one.stand_in}." if sentence else f", {one.stand_in}"
